"""TIFF files that Pillow does not read in full: stacks of images, many channels, and depths of all kinds."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vaelab.data.encoded import Page
from vaelab.errors import UsageError

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


def is_tiff(file: Any) -> bool:
    """Whether a file or stream begins as a TIFF does."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return stream.read(4) in MAGIC
    file.seek(0)
    return file.read(4) in MAGIC


def count_images(page: Page) -> int:
    """How many images the file has that a page is in."""
    with _opened(page) as tiff:
        return sum(_count(series, page.pages) for series in tiff.series)


def shape_of(page: Page) -> Shape:
    """The shape of one image, from the file's head alone."""
    with _opened(page) as tiff:
        series, _ = _located(tiff, page)
        inside = [n for a, n in zip(series.axes, series.shape, strict=True) if not _apart(a, page.pages)]
        height, width = (series.shape[series.axes.index(a)] for a in "YX")
        channels = math.prod(inside) // max(1, height * width)
        if samples := dict(zip(series.axes, series.shape, strict=True)).get("S"):
            channels = channels // samples * (samples - len(_alpha(series, samples)))
        return Shape(channels, height, width, _depth(series.dtype).name)


def read_page(page: Page) -> np.ndarray:
    """One image, [C, H, W] of uint8, uint16 or float32, without opacity; a mark of rotation is not obeyed.

    Other whole numbers become float32. Raises UsageError where imagecodecs is needed and missing.
    """
    with _opened(page) as tiff:
        series, index = _located(tiff, page)
        axes = [i for i, a in enumerate(series.axes) if _apart(a, page.pages)]
        place = dict(zip(axes, np.unravel_index(index, [series.shape[i] for i in axes]) if axes else (), strict=True))
        where = tuple(place.get(i, slice(None)) for i in range(len(series.axes)))
        pixels = _read(tiff, series, where, isinstance(page.file, Path))
        left = "".join(a for i, a in enumerate(series.axes) if i not in place)
        if "S" in left:
            pixels = np.delete(pixels, _alpha(series, pixels.shape[left.index("S")]), left.index("S"))
        order = [*(i for i, a in enumerate(left) if a not in "YX"), left.index("Y"), left.index("X")]
        pixels = pixels.transpose(order).reshape(-1, *(pixels.shape[i] for i in order[-2:]))
        pixels = pixels * np.uint8(255) if pixels.dtype == np.bool_ else pixels
        return np.ascontiguousarray(pixels, _depth(pixels.dtype))


def _read(tiff: "TiffFile", series: "TiffPageSeries", where: tuple[Any, ...], on_disk: bool) -> np.ndarray:
    """A part of a series: mapped, where it lies in a file as it is; else its pages, or all of them."""
    if on_disk and series.dataoffset is not None:
        return np.array(series.asarray(out="memmap")[where])
    inside = series.keyframe.shape
    before = series.shape[: len(series.shape) - len(inside)]
    whole = series.shape[len(before) :] == inside and len(series.pages) == math.prod(before)
    if not whole or any(isinstance(i, int | np.integer) for i in where[len(before) :]):
        return series.asarray()[where]
    keys = np.arange(math.prod(before)).reshape(before)[where[: len(before)]]
    return series.asarray(key=keys.ravel().tolist()).reshape(*keys.shape, *inside)


@contextmanager
def _opened(page: Page) -> "Iterator[TiffFile]":
    from tifffile import TiffFile

    if not isinstance(page.file, Path):
        page.file.seek(0)
    try:
        with TiffFile(page.file) as tiff:
            yield tiff
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        what = str(error).partition(" requires")[0].strip("<").partition(":")[0]
        raise UsageError(f"it is compressed by {what}, which imagecodecs reads; pip install 'vaelab[tiff]'") from error


def _located(tiff: "TiffFile", page: Page) -> "tuple[TiffPageSeries, int]":
    """The series that an image is in, and its number there."""
    number = page.number
    for series in tiff.series:
        if number < (count := _count(series, page.pages)):
            if not {"Y", "X"} <= set(series.axes):
                raise ValueError(f"its axes are {series.axes}, which are not those of images")
            return series, number
        number -= count
    raise ValueError(f"it has no image {page.number}")


def _count(series: "TiffPageSeries", pages: str) -> int:
    return math.prod(n for a, n in zip(series.axes, series.shape, strict=True) if _apart(a, pages))


def _apart(axis: str, pages: str) -> bool:
    """Whether what lies along an axis are images of their own."""
    return pages in WITHIN and axis not in WITHIN[pages]


def _alpha(series: "TiffPageSeries", samples: int) -> list[int]:
    extra = [int(kind) for kind in series.keyframe.extrasamples]
    return [samples - len(extra) + i for i, kind in enumerate(extra) if kind in ALPHA]


def _depth(dtype: np.dtype) -> np.dtype:
    kept = {"bool": np.uint8, "uint8": np.uint8, "uint16": np.uint16}
    return np.dtype(kept.get(np.dtype(dtype).name, np.float32))
