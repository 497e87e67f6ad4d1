"""Encoded images that lie within large files, such as shards: each is read for itself, by its place there."""

import os
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, overload

import numpy as np

from vaelab.data.containers.member import AGAIN
from vaelab.data.encoded.files import ImageFiles, stamp
from vaelab.errors import Damaged
from vaelab.io.files import parsing

OPEN = 64  # files at a time


class Names(Sequence[str]):
    """Names that are made when they are asked for, so that millions of images need not have one each in memory."""

    def __init__(self, count: int, name: Callable[[int], str]) -> None:
        self.numbers, self.name = range(count), name

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        numbers = self.numbers[index]
        return self.name(numbers) if isinstance(numbers, int) else [self.name(number) for number in numbers]


class Extents:
    """Stretches of files: of each the number of its file, where it begins and its size, int64 [N, 3].

    `stamps` are those of the files when the places were found; Damaged where a file is another by now.
    """

    def __init__(self, paths: Sequence[Path], stamps: Sequence[list[int]], places: np.ndarray) -> None:
        self.paths, self.stamps, self.places = paths, stamps, places
        self._opened: Callable[[int], _File] = lru_cache(OPEN)(lambda number: _File(paths[number], stamps[number]))

    def read(self, number: int) -> bytes:
        """The bytes of one; from any thread."""
        file, offset, size = self.places[number].tolist()
        content = self._opened(file).read(size, offset)
        if len(content) < size:
            raise Damaged(self.paths[file], f"it ends before byte {offset + size:,}", AGAIN)
        return content

    def files(self, name: Callable[[int], str]) -> ImageFiles:
        """All of them as encoded images, `name(number)` each."""
        return ImageFiles(Names(len(self.places), name), lambda i: BytesIO(self.read(i)), lambda: self._stamp())

    def _stamp(self) -> Any:
        return [[str(path), *known] for path, known in zip(self.paths, self.stamps, strict=True)]


class _File:
    """An open file, closed when nobody reads it any more."""

    def __init__(self, path: Path, expected: list[int]) -> None:
        with parsing(path):
            self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.descriptor)
        if stamp(path) != expected:
            raise Damaged(path, "it has changed since its images were found", AGAIN)

    def read(self, size: int, offset: int) -> bytes:
        """The bytes there. A method, whose `self` keeps the file open if other threads put it out of those known."""
        return os.pread(self.descriptor, size, offset)
