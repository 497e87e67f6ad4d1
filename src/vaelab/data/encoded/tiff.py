"""TIFF files that Pillow does not read in full: stacks of images, many channels, and depths of all kinds."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vaelab.data.axes import CHANNELS
from vaelab.data.encoded.files import Page, refuse_bomb

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WITHIN = {"auto": "YXSC", "images": "YXS"}  # axes of one image, by how pages are told apart; all are its own, otherwise
ALPHA = (1, 2)  # kinds of samples that are no colours but opacity


class Shape(NamedTuple):
    """Channels, height, width and numpy's name of the depth of an image."""

    channels: int
    height: int
    width: int
    depth: str


@dataclass(frozen=True)
class Stack:
    """Where the images of one shape are in a TIFF, so that each is read without looking at the others."""

    number: int  # of the series in the file
    axes: str
    shape: tuple[int, ...]
    apart: tuple[int, ...]  # the axes along which lie images of their own
    dtype: np.dtype  # in the file's order of bytes
    alpha: tuple[int, ...]  # samples that are left out
    start: int | None  # of all values, where they lie one after another
    heads: np.ndarray | None  # else the places of the pages' heads, by the axes before those of a page

    def __len__(self) -> int:
        """How many images there are."""
        return math.prod(self.shape[i] for i in self.apart)

    def shape_of(self) -> Shape:
        """The shape of each."""
        inside = {axis: n for i, (axis, n) in enumerate(zip(self.axes, self.shape, strict=True)) if i not in self.apart}
        height, width, samples = inside.pop("Y"), inside.pop("X"), inside.pop("S", 1) - len(self.alpha)
        return Shape(samples * math.prod(inside.values()), height, width, _depth(self.dtype).name)

    def read(self, file: Path | IO[bytes], number: int) -> np.ndarray:
        """One of them, [C, H, W]."""
        places = np.unravel_index(number, [self.shape[i] for i in self.apart]) if self.apart else ()
        place = dict(zip(self.apart, places, strict=True))
        pixels = self._part(file, tuple(place.get(i, slice(None)) for i in range(len(self.axes))))
        left = "".join(axis for i, axis in enumerate(self.axes) if i not in place)
        if self.alpha:
            pixels = np.delete(pixels, self.alpha, left.index("S"))
        order = [*(i for i, axis in enumerate(left) if axis not in "YX"), left.index("Y"), left.index("X")]
        pixels = pixels.transpose(order).reshape(-1, *(pixels.shape[i] for i in order[-2:]))
        pixels = pixels * np.uint8(255) if pixels.dtype == np.bool_ else pixels
        return np.ascontiguousarray(pixels, _depth(pixels.dtype))

    def _part(self, file: Path | IO[bytes], where: tuple[Any, ...]) -> np.ndarray:
        if self.start is not None:
            if isinstance(file, Path):
                return np.array(np.memmap(file, self.dtype, "r", self.start, self.shape)[where])
            file.seek(self.start)
            content = file.read(self.dtype.itemsize * math.prod(self.shape))
            return np.frombuffer(content, self.dtype).reshape(self.shape)[where]
        with _opened(file) as tiff:
            if self.heads is None:
                return tiff.series[self.number].asarray()[where]
            before = self.heads.ndim
            heads = self.heads[where[:before]]
            pages = np.stack([_page(tiff, head) for head in heads.ravel().tolist()])
            return pages.reshape(*heads.shape, *self.shape[before:])


def is_tiff(file: Any) -> bool:
    """Whether a file or stream begins as a TIFF does."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return stream.read(4) in MAGIC
    file.seek(0)
    return file.read(4) in MAGIC


def stacks_in(file: Path | IO[bytes], pages: str) -> list[Stack]:
    """All that a file holds; ValueError for what are no images."""
    with _opened(file) as tiff:
        return [_stack(i, series, pages, isinstance(file, Path)) for i, series in enumerate(tiff.series)]


def shape_of(page: Page) -> Shape:
    """The shape of one image, from the file's head alone."""
    return _located(page)[0].shape_of()


def read_page(page: Page) -> np.ndarray:
    """One image, [C, H, W] of uint8, uint16 or float32, without opacity; a mark of rotation is not obeyed.

    Other whole numbers become float32.
    """
    stack, number = _located(page)
    return stack.read(page.file, number)


def _located(page: Page) -> tuple[Stack, int]:
    """The stack that an image is in, and its number there."""
    number = page.number
    for stack in page.stacks or stacks_in(page.file, page.pages):
        if number < len(stack):
            shape = stack.shape_of()
            refuse_bomb(shape.width * max(1, shape.channels // CHANNELS), shape.height)
            return stack, number
        number -= len(stack)
    raise ValueError(f"it has no image {page.number}")


def _stack(number: int, series: "TiffPageSeries", pages: str, on_disk: bool) -> Stack:
    axes, shape, key = series.axes, series.shape, series.keyframe
    if not {"Y", "X"} <= set(axes):
        raise ValueError(f"its axes are {axes}, which are not those of images")
    apart = tuple(i for i, axis in enumerate(axes) if pages in WITHIN and axis not in WITHIN[pages])
    extra = [int(kind) for kind in key.extrasamples] if "S" in axes else []
    samples = shape[axes.index("S")] if extra else 0
    alpha = tuple(samples - len(extra) + i for i, kind in enumerate(extra) if kind in ALPHA)
    dtype, start, heads = np.dtype(series.dtype), series.dataoffset, None
    before = shape[: len(shape) - len(key.shape)]
    alike = shape[len(before) :] == key.shape and len(series.pages) == math.prod(before)
    if start is None and alike and all(i < len(before) for i in apart):
        heads = np.array([page.offset for page in series.pages if page is not None]).reshape(before)
    return Stack(number, axes, shape, apart, dtype.newbyteorder(key.parent.byteorder), alpha, start, heads)


def _page(tiff: "TiffFile", head: int) -> np.ndarray:
    """The page whose head is at a place of the file, without those before it."""
    from tifffile import TiffPage

    tiff.filehandle.seek(head)
    return TiffPage(tiff, 0).asarray()


@contextmanager
def _opened(file: Path | IO[bytes]) -> "Iterator[TiffFile]":
    from tifffile import TiffFile

    if not isinstance(file, Path):
        file.seek(0)
    with TiffFile(file) as tiff:
        yield tiff


def _depth(dtype: np.dtype) -> np.dtype:
    kept = {"bool": np.uint8, "uint8": np.uint8, "uint16": np.uint16}
    return np.dtype(kept.get(np.dtype(dtype).name, np.float32))
