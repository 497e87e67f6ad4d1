"""Stacks of images in a TIFF file, as the array that they make up."""

import logging
from dataclasses import replace
from math import prod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.containers.member import AGAIN, Member, gathered, in_file
from vaelab.data.stored import Images
from vaelab.errors import Damaged
from vaelab.io.files import parsing

if TYPE_CHECKING:
    from tifffile import TiffFile

LETTERS = {"S": "C", "C": "C", "Y": "H", "X": "W"}  # of TIFF axes; along all others there are images


def tiff_arrays(path: Path) -> list[Member]:
    """The arrays in a TIFF file: one, without a name, unless its pages differ."""
    from tifffile import TiffFile

    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # what it logs is raised here
    with parsing(path, AGAIN):
        file = TiffFile(path)
        found = file.series
        if _is_cut(file):
            raise Damaged(path, "it ends before its last page", AGAIN)
        return [_member(path, series, str(i) if len(found) > 1 else "") for i, series in enumerate(found)]


def _is_cut(file: "TiffFile") -> bool:
    """Whether the last page that was found names a next one."""
    len(file.pages)  # finds all
    file.filehandle.seek(file.pages.next_page_offset or 0)
    following = file.filehandle.read(file.tiff.offsetsize)
    return len(following) < file.tiff.offsetsize or any(following)


def _member(path: Path, series: Any, name: str) -> Member:
    def read() -> np.ndarray:
        with parsing(path, AGAIN):
            return series.asarray()

    axes = "".join(LETTERS.get(letter, "N") for letter in series.axes)
    found = Member(name, series.shape, series.dtype, read, axes=axes)
    if series.dataoffset is not None and found.numeric:
        dtype = series.dtype.newbyteorder(series.keyframe.parent.byteorder)
        return replace(in_file(name, path, series.shape, dtype, series.dataoffset), axes=axes)
    before = series.shape[: len(series.shape) - len(series.keyframe.shape)]
    if (*before, *series.keyframe.shape) != series.shape or prod(before) != len(series.pages):
        return found
    return replace(found, along=lambda axis: gathered(Pages(path, series), before, axis))


class Pages(Images):
    """The pages of a TIFF file, each decoded when it is asked for."""

    def __init__(self, path: Path, series: Any) -> None:
        super().__init__(len(series.pages), series.keyframe.shape, getattr(torch, series.dtype.name))
        self.path, self.series, self.lock = path, series, Lock()

    def take(self, rows: Tensor) -> Tensor:
        """Decoded for one thread at a time; Damaged where that fails."""
        with self.lock, parsing(self.path, AGAIN):
            found = self.series.asarray(key=rows.tolist())
        return torch.from_numpy(found.reshape(len(rows), *self.shape[1:]))
