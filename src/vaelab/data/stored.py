"""Images reached by number: they lie in a file, or wherever, and are read when they are asked for."""

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vaelab.data.permutation import mixed
from vaelab.errors import Damaged


class Numbers(Protocol):
    """Numbers of images by position: a range, a tensor, or a computed order."""

    def __len__(self) -> int: ...
    def __getitem__(self, positions: Tensor, /) -> Tensor: ...


LOOKED_AT = 2**30  # values up to which all of a set are looked at
SAMPLED = 2**26  # of a larger one, those of evenly spaced images
PIECE = 2**22  # values at once

Index = int | slice | Tensor | Sequence[int]
Batch = Callable[[Tensor, Tensor], Tensor]  # of images [B, C, H, W] and their rows


class Images(ABC):
    """N images of one shape and type that need not be in memory; whatever is taken of them is a tensor.

    What reads them is called from several threads at once.
    """

    def __init__(self, count: int, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.shape, self.dtype = torch.Size((count, *shape)), dtype

    @abstractmethod
    def take(self, rows: Tensor) -> Tensor:
        """The images [B, C, H, W] with these numbers, int64 [B], in this order."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Four."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The memory that all of them would take."""
        return self.shape.numel() * self.dtype.itemsize

    def numel(self) -> int:
        """The number of values in all of them."""
        return self.shape.numel()

    def __getitem__(self, index: Index) -> Tensor:
        """One image [C, H, W], or some."""
        if isinstance(index, int):
            return self.take(torch.tensor([range(len(self))[index]]))[0]
        return self.take(_rows(index, len(self)))

    def split(self, size: int) -> Iterator[Tensor]:
        """All of them, so many at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def at(self, index: slice | Tensor | Sequence[int] | Numbers) -> "Images":
        """Some of them, of which none is read yet."""
        return Chosen(self, range(len(self))[index] if isinstance(index, slice) else index)

    def map(self, change: Batch, shape: Sequence[int] | None = None, dtype: torch.dtype | None = None) -> "Images":
        """Images that are `change(images, rows)` of these; of another shape or type where that is said."""
        return Changed(self, change, self.shape[1:] if shape is None else shape, dtype or self.dtype)


class Chosen(Images):
    """Some of other images."""

    def __init__(self, images: Images, numbers: "range | Tensor | Sequence[int] | Numbers") -> None:
        super().__init__(len(numbers), images.shape[1:], images.dtype)
        self.images, self.numbers = images, numbers

    def take(self, rows: Tensor) -> Tensor:
        """Of these images."""
        numbers = self.numbers
        if isinstance(numbers, range):
            return self.images.take(numbers.start + rows * numbers.step)
        return self.images.take((torch.as_tensor(numbers) if isinstance(numbers, Sequence) else numbers)[rows])


class Changed(Images):
    """Other images as a function of each."""

    def __init__(self, images: Images, change: Batch, shape: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__(len(images), shape, dtype)
        self.images, self.change = images, change

    def take(self, rows: Tensor) -> Tensor:
        """Changed after they are read."""
        return self.change(self.images.take(rows), rows)


class FileArray(Images):
    """Images that lie one after another in a file, from an offset on.

    Each is read for itself: a mapping of the file would count what was seen of it as the program's memory.
    """

    def __init__(self, path: Path, count: int, shape: Sequence[int], dtype: np.dtype, offset: int) -> None:
        super().__init__(count, shape, getattr(torch, dtype.newbyteorder("=").name))
        self.path, self.kind, self.offset = path, dtype, offset
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)

    def take(self, rows: Tensor) -> Tensor:
        """Read from the file; Damaged where that ends too early."""
        out = np.empty((len(rows), *self.shape[1:]), self.kind)
        numbers, size = rows.tolist(), out[:1].nbytes
        flat = out.reshape(-1).view(np.uint8).data
        begin = 0
        while begin < len(numbers):
            end = begin + 1
            while end < len(numbers) and numbers[end] == numbers[end - 1] + 1:
                end += 1
            self._read(flat[begin * size : end * size], self.offset + numbers[begin] * size)
            begin = end
        return torch.from_numpy(out.astype(self.kind.newbyteorder("="), copy=False))

    def _read(self, into: memoryview, place: int) -> None:
        while into:
            read = os.preadv(self._file, [into], place)
            if not read:
                raise Damaged(self.path, "it is shorter than its header says")
            into, place = into[read:], place + read


def pieces(images: Tensor | Images) -> Iterator[tuple[range, Tensor]]:
    """Images as floats, some at a time, and their numbers; of very many, evenly spaced ones."""
    step = 1 if images.numel() <= LOOKED_AT else -(-images.numel() // SAMPLED)
    rows = max(1, PIECE // max(1, images.shape[1:].numel()))
    for start in range(0, len(images), rows * step):
        yield range(start, len(images), step), images[start : start + rows * step : step].float()


def uniform(rows: Tensor, values: int, key: int) -> Tensor:
    """Uniform numbers in [0, 1) as a function of a key and the row, float32 [B, values]."""
    bits = mixed(rows[:, None] * values + torch.arange(values), key)
    return ((bits >> 40) & 0xFFFFFF).float() / 2**24


def _rows(index: slice | Tensor | Sequence[int], count: int) -> Tensor:
    if isinstance(index, slice):
        return torch.arange(*index.indices(count))
    rows = torch.as_tensor(index)
    if rows.dtype == torch.bool:
        return rows.nonzero()[:, 0]
    return torch.where(rows < 0, rows + count, rows)
