"""Any folder of images, decoded once into a memory-mapped array."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from vaelab.data.archive import stamp
from vaelab.data.decode import DRAFT, SUFFIXES, as_array, central, decode_all, image_names, upright
from vaelab.data.decoded import MixedChannels, decode_once
from vaelab.data.images import check_fits
from vaelab.data.layout import laid_out
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import UsageError
from vaelab.io import files, places
from vaelab.registry import Size, register

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("1", "L", "LA", "I", "I;16", "I;16B")  # Pillow's modes without colours


@register("data", "folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """All images below `path`, split by its folders `train`, `valid`, `test` or by `seed`; other folders are classes.

    Folders `train/`, `valid/` (or `val`, `validation`) and `test/` are splits, and several folders in each are classes;
    what is missing of `valid/` and `test/` is taken from the training images, shuffled by `seed`. Several folders of
    other names are classes, of images shuffled and split 80 / 10 / 10. `folders` says which is meant where that is not
    clear.

    `path` is absolute, or relative to the working directory or a data directory. With `size`, the central
    square of each image is resized to size × size, or the largest centre of that shape to (width, height), and
    `crop`, `resize`, `pad` follow; without it, all must come out equally large. Rotation marks are obeyed,
    transparency is dropped. `channels` are by default 1 where all pixels are grey, whatever the files say, else 3.
    Decoded images are kept in the user's cache under `folder/` until a file or an option changes. Unreadable files are
    listed in one warning and left out.
    """

    path: str
    size: Size | tuple[Size, Size] | None = None
    channels: Literal["auto", 1, 3] = "auto"
    folders: Literal["auto", "splits", "classes"] = "auto"

    def read(self, directory: places.Directory) -> Pool:
        """From the cache, or by decoding; UsageError without a readable image, or where sizes differ."""
        root = self._root(directory)
        names = image_names(root)
        if not names:
            raise UsageError(f"{root} holds no images ({', '.join(SUFFIXES)}); correct the path")
        shuffled = [names[i] for i in self.permutation(len(names))]  # first of all, so that splits are slices
        names, numbers, labels, classes = laid_out(shuffled, root, self.folders)
        check_fits((1, 3, *np.broadcast_to(self.size or 1, 2).tolist()), "lower data.size")
        try:
            images, kept = self._decoded(root, names, labels, self.channels)
        except MixedChannels:
            images, kept = self._decoded(root, names, labels, 3)
        if numbers is None:
            return Pool(images, classes=classes, finished=True)
        train, *held_out = (part if len(part) else None for part in images.cut(numbers[kept]))
        return Pool(train or images[:0], *held_out, classes=classes, finished=True, split_by="folder")

    def _root(self, directory: places.Directory) -> Path:
        path = files.expanded(self.path)
        tried = [path, *(place / path for place in places.places(directory))]
        for root in tried:
            if root.is_dir():
                return root.resolve()
        looked = ", ".join(map(str, tried))
        raise UsageError(f"there is no folder {self.path!r} (looked for {looked}); correct the path")

    def _decoded(
        self, root: Path, names: list[str], labels: Tensor | None, channels: Literal["auto", 1, 3]
    ) -> tuple[Split, list[int]]:
        options = [self.size, self.channels, self.crop, self.resize, self.pad, DRAFT]
        state = [[stamp(root / name) for name in names], options]
        decode = partial(self._decode, channels=channels)
        decoded = decode_all(names, root.joinpath, decode, np.max(self.size or 0))
        return decode_once("folder", root, names, state, decoded, "correct the path", labels)

    def _decode(self, image: "Image", channels: Literal["auto", 1, 3]) -> np.ndarray:
        whole = upright(image, 1 if channels == 1 or (channels == "auto" and image.mode in GREY) else 3)
        framed = central(whole, self.size) if self.size else whole
        pixels = self.shape(torch.from_numpy(as_array(framed))[None])[0].numpy()
        return pixels[:1] if channels == "auto" and (pixels == pixels[:1]).all() else pixels
