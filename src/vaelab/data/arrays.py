"""Any array of images: .npy, .npz, HDF5, Zarr or TIFF."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data.axes import KNOWN, as_bytes, as_values, order_of
from vaelab.data.containers.files import members, npy_array
from vaelab.data.containers.labels import as_classes
from vaelab.data.containers.member import Member
from vaelab.data.containers.names import NAMES, Arrays
from vaelab.data.source import Pool, Source, Split
from vaelab.data.stored import Images
from vaelab.errors import UsageError
from vaelab.io import files, places
from vaelab.io.memory import refuse_too_large
from vaelab.registry import register

IN_MEMORY = 2**28  # bytes up to which arrays are read at once


@register("data", "arrays")
@dataclass(frozen=True, kw_only=True)
class ArrayFile(Source):
    """Images in the arrays of a .npy, .npz, HDF5, Zarr or TIFF file, or of a folder of .npy files.

    `path` is absolute, or relative to the working directory or a data directory. Arrays are found by their names:
    `x_train`, `y_train`, `x_test`, …, `train/images`, `train/labels`, …, `train_images`, `val_labels`, …, or just
    `images` and `labels`; where a file has others, `images` and `labels` say which these are, and `train`, `valid`
    and `test` how the splits are called. `labels` may be an .npy file beside `path`. What is missing of the valid and
    test images is taken from the training images, shuffled by `seed`.

    `axes` are by default NHW or NCHW, or as a TIFF file says, of 1 to 16 channels. Values are kept as uint8, uint16 or
    float32, true as 255, and real numbers that all are v / 255 as the levels v. Arrays of more than 256 MiB stay where
    they are, and images are read as they are needed; those that are compressed in an .npz are read whole.
    """

    path: str
    images: str | None = None
    labels: str | None = None
    train: str | None = None
    valid: str | None = None
    test: str | None = None
    axes: str | None = None

    def read(self, directory: places.Directory) -> Pool:
        """From the arrays' heads, and from all of them where they are small."""
        path = self._find(directory)
        splits = {name: word for name, word in zip(NAMES, (self.train, self.valid, self.test), strict=True) if word}
        found = members(path)
        arrays = Arrays.of(found, str(path), splits if len(found) > 1 else {})
        chosen = arrays.images(self.images, self.axes)
        lazy = sum(member.nbytes for member in chosen.values()) > IN_MEMORY
        x = [self._images(path, member, lazy) for member in chosen.values()]
        x = as_bytes(x) if self.scale == "full" else x
        y, classes = self._labels(path, arrays, list(chosen))
        pool = {name: Split(images, y.get(name)) for name, images in zip(chosen, x, strict=True)}
        return Pool(
            *(pool["train"], pool.get("valid"), pool.get("test")),
            classes=classes,
            binary=_is_binary(x[0], chosen["train"]),
            split_by=path.name if len(pool) > 1 else None,
        )

    def _find(self, directory: places.Directory) -> Path:
        path = files.expanded(self.path)
        tried = [path, *(place / path for place in places.places(directory))]
        found = next((place for place in tried if place.exists()), None)
        if found is None:
            raise UsageError(f"there is no {self.path!r} (looked for {', '.join(map(str, tried))}); correct data.path")
        if not (found.is_file() or found.is_dir()):
            raise UsageError(f"{found} is neither a file nor a folder; correct data.path")
        return found

    def _images(self, path: Path, member: Member, lazy: bool) -> Tensor | Images:
        """An array as images [N, C, H, W], read now or later."""
        what = f"{member.name} in {path}" if member.name else str(path)
        if not member.numeric:
            raise UsageError(f"{what} is {member.dtype}, which are no numbers", "save its values as numbers")
        if not self.axes and member.axes and sorted(member.axes) not in KNOWN:
            axes = ", ".join(member.axes)
            raise UsageError(f"{what} is {list(member.shape)}, as it says [{axes}]", "set data.axes, with N for images")
        order = order_of(member.shape, self.axes or member.axes, what, "data.axes")
        first = order[0]
        inner = [1 + place - (place > first) for place in order[1:]]

        def ordered(x: Tensor) -> Tensor:
            x = as_values(x).permute(0, *inner)
            return x[:, None] if x.ndim == 3 else x

        if not (lazy and member.along):
            refuse_too_large(member.nbytes, what, "save it uncompressed, or in a format that is read in parts")
            x = member.read()
            x = torch.from_numpy(np.moveaxis(x, first, 0).astype(x.dtype.newbyteorder("="), copy=False))
            return ordered(x).contiguous()
        x = member.along(first)
        like = ordered(x[:1])
        return x.map(lambda batch, rows: ordered(batch).contiguous(), like.shape[1:], like.dtype)

    def _labels(
        self, path: Path, arrays: Arrays, splits: list[str]
    ) -> tuple[Mapping[str, Tensor], tuple[str, ...] | None]:
        """Those of each split, and the names of the classes where they are text."""
        found = arrays.labels(self.labels)
        if self.labels and not found:
            beside = (path if path.is_dir() else path.parent) / files.expanded(self.labels)
            if not beside.is_file() or beside.suffix != ".npy":
                what = f"{path} holds no array {self.labels!r} ({arrays.listed})"
                raise UsageError(f"{what}, and no .npy file of that name is beside it", "correct data.labels")
            found = {"train": npy_array(beside)}
        if not self.labels and not all(name in found for name in splits):
            return {}, None
        return as_classes({name: found[name] for name in splits if name in found}, str(path), named=bool(self.labels))


def _is_binary(x: Tensor | Images, member: Member) -> bool:
    return member.dtype == bool or (isinstance(x, Tensor) and bool(((x == 0) | (x == 255)).all()))
