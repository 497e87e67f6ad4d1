"""Arrays in files, known by name, shape and type before any value is read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data.stored import FileArray, Images
from vaelab.errors import Damaged

AGAIN = "copy or make it again"  # the fix of a file of the user's that is damaged


@dataclass(frozen=True)
class Member:
    """An array in a file: `read()` gives all of it, `along(axis)` its parts along an axis, which are read when needed.

    `along` is None where the whole must be read, as of what is compressed in one piece.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    along: Callable[[int], Images] | None = None
    axes: str | None = None  # a letter for each, where the file tells

    @property
    def nbytes(self) -> int:
        """What all of it takes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def numeric(self) -> bool:
        """Whether it holds truth values or real numbers of a usual length."""
        return self.dtype.kind in "bui" or (self.dtype.kind == "f" and self.dtype.itemsize <= 8)

    def __str__(self) -> str:
        """`x_train uint8 [60000, 28, 28]`."""
        return f"{self.name} {self.dtype.newbyteorder('=').name} {list(self.shape)}".strip()


def in_file(
    name: str, path: Path, shape: Sequence[int], dtype: np.dtype, offset: int = 0, fortran: bool = False
) -> Member:
    """An array whose values lie one after another in a file; Damaged where that is too short."""
    shape = tuple(shape)
    lying = shape[::-1] if fortran else shape  # from the axis whose values lie farthest apart
    needed, there = offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if there < needed:
        raise Damaged(path, f"it has {there:,} bytes and should have {needed:,}", AGAIN)

    def read() -> np.ndarray:
        whole = FileArray(path, 1, lying, dtype, offset)[0].numpy()
        return whole.T if fortran else whole

    def along(axis: int) -> Images:
        place = len(shape) - 1 - axis if fortran else axis
        pieces = FileArray(path, math.prod(lying[: place + 1]), lying[place + 1 :], dtype, offset)
        parts = gathered(pieces, lying[: place + 1], place)
        if not fortran:
            return parts
        return parts.map(lambda batch, rows: batch.permute(0, *range(batch.ndim - 1, 0, -1)), parts.shape[:0:-1])

    return Member(name, shape, dtype, read, along)


def gathered(pieces: Images, shape: Sequence[int], axis: int) -> Images:
    """The parts along an axis of an array that is made of `pieces`, whose numbers have this shape."""
    return pieces if len(shape) == 1 else Gathered(pieces, shape, axis)


class Gathered(Images):
    """Images each of which lies in several pieces of an array."""

    def __init__(self, pieces: Images, shape: Sequence[int], axis: int) -> None:
        self.pieces, self.others = pieces, (*shape[:axis], *shape[axis + 1 :])
        super().__init__(shape[axis], (*self.others, *pieces.shape[1:]), pieces.dtype)
        self.step, self.count = math.prod(shape[axis + 1 :]), shape[axis]

    def take(self, rows: Tensor) -> Tensor:
        """Put together of their pieces."""
        other = torch.arange(math.prod(self.others))
        first = other // self.step * (self.step * self.count) + other % self.step
        found = self.pieces.take((rows[:, None] * self.step + first).flatten())
        return found.view(len(rows), *self.shape[1:])
