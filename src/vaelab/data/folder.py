"""Any folder of images, decoded once into a memory-mapped array."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch

from vaelab import files
from vaelab.data.archive import stamp
from vaelab.data.decode import DRAFT, SUFFIXES, as_array, central, decode_all, image_names, upright
from vaelab.data.decoded import decode_once
from vaelab.data.images import check_fits
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import UsageError
from vaelab.registry import Size, register

if TYPE_CHECKING:
    from PIL.Image import Image


@register("data", "folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """All images below `path`, shuffled by `seed`, split 80 / 10 / 10; subfolders, if several, are classes.

    `path` is absolute, or relative to the working directory or a data directory. With `size`, the central
    square of each image is resized to size × size, or the largest centre of that shape to (width, height), and
    `crop`, `resize`, `pad` follow; without it, all must come out equally large. Rotation marks are obeyed,
    transparency is dropped. Decoded images are kept in the user's cache under `folder/` until a file or an
    option changes. Unreadable files are listed in one warning and left out.
    """

    path: str
    size: Size | tuple[Size, Size] | None = None
    channels: Literal[1, 3] = 3

    name: ClassVar = "folder"

    def read(self, directory: files.Folder) -> Pool:
        """From the cache, or by decoding; UsageError without a readable image, or where sizes differ."""
        root = self._root(directory)
        names = image_names(root)
        if not names:
            raise UsageError(f"{root} holds no images ({', '.join(SUFFIXES)}); correct data.path")
        names = [names[i] for i in self.permutation(len(names))]  # shuffled first, so that splits are slices
        options = [self.size, self.channels, self.crop, self.resize, self.pad, DRAFT]
        state = [[stamp(root / name) for name in names], options]
        check_fits((1, 3, *np.broadcast_to(self.size or 1, 2).tolist()), "lower data.size")
        decoded = decode_all(names, root.joinpath, self._decode, np.max(self.size or 0))
        images, kept = decode_once("folder", root, names, state, decoded, "correct data.path")
        labels, classes = _labels(names)
        return Pool(Split(images, labels if labels is None else labels[kept]), classes=classes, finished=True)

    def _root(self, directory: files.Folder) -> Path:
        path = Path(self.path).expanduser()
        tried = [path, *(place / path for place in files.places(directory))]
        for root in tried:
            if root.is_dir():
                return root.resolve()
        looked = ", ".join(map(str, tried))
        raise UsageError(f"there is no folder {self.path!r} (looked for {looked}); correct data.path")

    def _decode(self, image: "Image") -> np.ndarray:
        whole = upright(image, self.channels)
        framed = central(whole, self.size) if self.size else whole
        return self.shape(torch.from_numpy(as_array(framed))[None])[0].numpy()


def _labels(names: list[str]) -> tuple[torch.Tensor | None, tuple[str, ...] | None]:
    """Classes by first-level subfolder, if there are several and no image lies outside them."""
    tops = [name.split("/")[0] for name in names if "/" in name]
    classes = {top: index for index, top in enumerate(sorted(set(tops)))}
    if len(classes) < 2 or len(tops) < len(names):
        return None, None
    return torch.tensor([classes[top] for top in tops]), tuple(classes)
