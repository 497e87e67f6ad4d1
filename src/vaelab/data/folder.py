"""Any folder of images, decoded once into a memory-mapped array."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from vaelab import files
from vaelab.data.decode import SUFFIXES, decode, image_names
from vaelab.data.mapped import ArrayWriter, map_array
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import UsageError
from vaelab.files import write_whole
from vaelab.progress import Bar
from vaelab.registry import Size, register

BATCH = 256  # images decoded ahead of the writing


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
        array = files.cache() / "folder" / f"{self._key(root, names)}.npy"
        index = array.with_suffix(".json")  # written last: where it is, the array is whole
        if not (index.is_file() and array.is_file()):
            text = json.dumps(self._write(root, names, array))
            write_whole(index, lambda file: file.write_text(text))
        kept, skipped = json.loads(index.read_text()).values()
        if skipped:
            warnings.warn(_skipped(root, len(names), skipped), stacklevel=2)
        with files.parsing(array):
            images = map_array(array)
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

    def _key(self, root: Path, names: list[str]) -> str:
        """A hash of everything that the array depends on."""
        stats = [(root / name).stat() for name in names]
        state = [(name, s.st_size, s.st_mtime_ns) for name, s in zip(names, stats, strict=True)]
        options = [self.size, self.channels, self.crop, self.resize, self.pad, self.seed]
        return hashlib.sha256(json.dumps([str(root), state, options]).encode()).hexdigest()[:24]

    def _write(self, root: Path, names: list[str], array: Path) -> dict[str, list]:
        """Decode in shuffled order, so that splits are slices; return what was kept, and what not and why."""
        kept, skipped = [], []
        order = self.permutation(len(names)).tolist()
        with ArrayWriter(array) as writer, Bar(f"decoding {root.name}", len(names)) as bar:
            for i, result in zip(order, self._decoded(root, [names[i] for i in order]), strict=True):
                bar.update(1)
                if isinstance(result, str):
                    skipped.append(f"{names[i]}: {result}")
                    continue
                if writer.count and result.shape != writer.shape:
                    raise _uneven(names[i], result.shape, names[kept[0]], writer.shape)
                writer.append(result)
                kept.append(i)
        if not kept:
            raise UsageError(f"{_skipped(root, len(names), skipped)}\nnone is left; correct data.path")
        return {"kept": kept, "skipped": sorted(skipped)}

    def _decoded(self, root: Path, names: list[str]) -> Iterator[np.ndarray | str]:
        """Each image or what is wrong with its file; in threads, because Pillow works outside the lock."""
        with ThreadPoolExecutor() as workers:
            for start in range(0, len(names), BATCH):
                paths = [root / name for name in names[start : start + BATCH]]
                yield from workers.map(self._decode, paths)

    def _decode(self, path: Path) -> np.ndarray | str:
        image = decode(path, self.channels, self.size)
        try:
            return image if isinstance(image, str) else self.shape(torch.from_numpy(image)[None])[0].numpy()
        except UsageError as error:
            raise UsageError(f"{path.name}: {error}") from error


def _labels(names: list[str]) -> tuple[torch.Tensor | None, tuple[str, ...] | None]:
    """Classes by first-level subfolder, if there are several and no image lies outside them."""
    tops = [name.split("/")[0] for name in names if "/" in name]
    classes = {top: index for index, top in enumerate(sorted(set(tops)))}
    if len(classes) < 2 or len(tops) < len(names):
        return None, None
    return torch.tensor([classes[top] for top in tops]), tuple(classes)


def _uneven(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> UsageError:
    return UsageError(
        f"{name} is {shape[1]}×{shape[2]} pixels (height × width), {other} {expected[1]}×{expected[2]}; "
        f"bring all images to one size with data.size, for example {min(expected[1:])}"
    )


def _skipped(root: Path, total: int, skipped: list[str]) -> str:
    more = [f"… and {len(skipped) - 20} more"] if len(skipped) > 20 else []
    heading = f"left out {len(skipped)} of the {total} images in {root}, which cannot be read"
    return "\n  ".join([f"{heading}:", *skipped[:20], *more])
