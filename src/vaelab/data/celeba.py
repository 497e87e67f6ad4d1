"""CelebA: 202,599 aligned faces with forty attributes, from the official folder or straight from its zip."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vaelab.data.encoded.archive import open_images
from vaelab.data.encoded.decode import as_array, read_image
from vaelab.data.encoded.decoded import decode_once
from vaelab.data.encoded.files import is_image
from vaelab.data.images import check_fits, pad
from vaelab.data.source import Pool, Source
from vaelab.errors import Damaged, MissingData, UsageError
from vaelab.io.files import parsing
from vaelab.io.places import Directory, places
from vaelab.registry import Size, hint, register

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT = 178, 218  # of an aligned face
CROP = 148
SPLITS = ("train", "valid", "test")
ARCHIVE = "img_align_celeba.zip"
PARTITION, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"


@register("data", "celeba")
@dataclass(frozen=True, kw_only=True)
class CelebA(Source):
    """CelebA (Liu et al. 2015): the central square of each aligned face, resized to size × size.

    `crop` is the side of that square in pixels of the original 178 × 218, whatever the size of the files: if not
    given, 148, as in most papers; 178 is the whole width. Resizing is bilinear and anti-aliased; `pad` follows.

    Read from `img_align_celeba/` or, without unpacking, `img_align_celeba.zip`. `list_eval_partition.txt` makes
    the official split of 162,770 / 19,867 / 19,962; without it the first 80 % of the images by name train, 10 %
    validate and 10 % test, and a warning says so. `list_attr_celeba.txt` gives the factors, 0 or 1; `attribute`
    makes one of them the class. Decoded images are kept in the user's cache under `celeba/`.
    """

    size: Size = 64
    attribute: str | None = None

    def __post_init__(self) -> None:
        if self.crop and self.crop > WIDTH:
            raise ValueError(f"crop {self.crop} is larger than faces of {WIDTH}×{HEIGHT}; crop at most {WIDTH}")
        if self.resize:
            raise ValueError(f"resize does not apply to faces, whose size is an option; set size={self.resize} instead")

    def read(self, directory: Directory) -> Pool:
        """From `celeba/`; UsageError for what is missing or damaged, and for an unknown attribute."""
        check_fits((1, 3, self.size, self.size), "lower data.size")
        root, where = _find(directory)
        faces = open_images(where)
        split_of = _partition(root, faces.names)
        order = np.argsort(split_of, kind="stable")  # so that splits are slices
        faces = faces.at(order)
        factors, known = _attributes(root, faces.names)
        labels = self._labels(root / ATTRIBUTES, factors, known)
        options, whole = [self.size, self.crop, self.pad], "put whole ones there"
        images, kept = decode_once("celeba", where, faces, options, self._decode, whole, labels=labels, factors=factors)
        splits = images.cut(split_of[order][kept])
        classes = (f"no {self.attribute}", self.attribute) if self.attribute else None
        by = None if (root / PARTITION).is_file() else "name"
        return Pool(*splits, classes=classes, factor_names=known, finished=True, split_by=by)

    def _labels(self, path: Path, factors: Tensor | None, known: tuple[str, ...] | None) -> Tensor | None:
        name = self.attribute
        if name is None:
            return None
        if factors is None or known is None:
            raise UsageError(f"data.attribute: {name!r} needs {path}, which is not there; get it or drop the option")
        if name not in known:
            raise UsageError(f"data.attribute: unknown attribute {name!r}; {hint(name, list(known))}")
        return factors[:, known.index(name)].long()

    def _decode(self, file: Path | IO[bytes]) -> np.ndarray:
        return pad(torch.from_numpy(as_array(self._frame(read_image(file, 3)))), self.pad).numpy()

    def _frame(self, face: "Image") -> "Image":
        """The central square, of a side in proportion to the width of the file."""
        from PIL import Image

        width, height = face.size
        if abs(height - width * HEIGHT / WIDTH) > 1:
            raise ValueError(f"{width}×{height} pixels, which is not the shape of an aligned face, {WIDTH}×{HEIGHT}")
        side = (self.crop or CROP) * width / WIDTH
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        return face.resize((self.size, self.size), Image.Resampling.BILINEAR, box)


def _find(directory: Directory) -> tuple[Path, Path]:
    """The folder with the text files, and the folder or zip with the images."""
    folders = [place / "celeba" for place in places(directory)]
    for root in folders:
        unpacked, packed = root / "img_align_celeba", root / ARCHIVE
        if any(is_image(path.relative_to(unpacked).as_posix()) for path in unpacked.rglob("*")):
            return root, unpacked
        if packed.is_file():
            return root, packed
        if any(is_image(path.name) for path in root.glob("*")):
            return root, root
    raise MissingData(
        f"CelebA is not in {', '.join(map(str, folders))}, and cannot be downloaded from here (it is given away by "
        "hand, for non-commercial research only)",
        f"get {ARCHIVE}, {PARTITION} and {ATTRIBUTES} from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and put "
        f"them, the zip as it is, into {folders[0]}",
        "celeba/",
    )


def _partition(root: Path, names: Sequence[str]) -> np.ndarray:
    """0, 1 or 2 for each image: train, valid or test."""
    path, count = root / PARTITION, len(names)
    if not path.is_file():
        ends = count * 8 // 10, count * 9 // 10
        warnings.warn(
            f"{path} is not there, so the {count:,} images are split by name into {ends[0]:,} / {ends[1] - ends[0]:,} "
            f"/ {count - ends[1]:,}; numbers are not comparable with those of the official split",
            stacklevel=3,
        )
        return np.searchsorted(ends, range(count), side="right")
    split_of = _rows(path, names, 0)[:, 0]
    if not np.isin(split_of, range(len(SPLITS))).all():
        raise Damaged(path, "it has splits other than 0, 1 and 2")
    for number, split in enumerate(SPLITS):
        if number not in split_of:
            raise UsageError(
                f"{path} puts none of the {count:,} images into the {split} split; get all images, or remove it to "
                "have these split by name"
            )
    return split_of


def _attributes(root: Path, names: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """float32 [N, 40] of 0 and 1, and the names of the columns, where the file is there."""
    path = root / ATTRIBUTES
    if not path.is_file():
        return None, None
    with parsing(path), path.open() as file:
        known = tuple(file.readlines(2**16)[1].split())
    factors = torch.from_numpy(_rows(path, names, 2) > 0).float()
    if factors.shape[1] != len(known):
        raise Damaged(path, f"it names {len(known)} attributes and gives {factors.shape[1]} for each image")
    return factors, known


def _rows(path: Path, names: Sequence[str], skip: int) -> np.ndarray:
    """The numbers int8 [N, columns] that a text file gives, after `skip` lines, beside each image's name."""
    with parsing(path):
        lines = [line.split(None, 1) for line in path.read_text().splitlines()[skip:] if line.strip()]
        values = np.fromstring(" ".join(rest for _, rest in lines), np.int8, sep=" ").reshape(len(lines), -1)
    row_of = {_stem(name): row for row, (name, _) in enumerate(lines)}
    rows = [row_of.get(_stem(name), -1) for name in names]
    if -1 in rows:
        raise Damaged(path, f"it does not mention {names[rows.index(-1)]}")
    return values[rows]


def _stem(name: str) -> str:
    """000001 of folder/000001.jpg: the text files say .jpg also where the images are .png."""
    return name.rpartition("/")[2].partition(".")[0]
