"""Sheets of images: tiled in numpy, enlarged by whole numbers, shown pixel for pixel, labelled around.

An image of one channel is grey, of three in colour; of any other number its channels stand below one another.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vaelab.figures.style import DPI, INK, MUTED, SMALL, TEXT, TITLE, blank, house, text_width

GAP = 2  # pixels between neighbours
THIN, BAND = 1, 12  # pixels between channels that stand below one another, and from an image so shown to the next one
SEAM = (104, 130, 160)  # their slate blue: no stroke or ground of a grey image runs into it
WIDE, TALL, CELL = 1300, 2400, 128  # pixels that a sheet, and one image in it, may take before enlarging stops
MARGIN = 9.0  # points around everything
SIDE_BY_SIDE, PANELS, ROWS = 12, 160, 26  # of images whose channels stand in rows: see `few_images` and `few_rows`

Colours = tuple[int, int, int] | None  # the channels, from 0, that are shown as red, green and blue; None for all


def as_images(images: ArrayLike) -> NDArray[np.float32]:
    """Images [..., C, H, W] as floats in [0, 1]; given as such, or as uint8."""
    array = np.asarray(images)
    floats = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    low, high = floats.min(), floats.max()
    # A Gaussian mean may overshoot a little and is clipped; [-1, 1] and 0 … 255 are mistakes. NaN fails both.
    if not (low > -0.5 and high < 1.5):
        raise ValueError(f"images: expected pixels in [0, 1]; got values from {low:.3g} to {high:.3g}")
    return floats.clip(0, 1)


def shown(images: Any, colours: Colours = None) -> Any:
    """Images [..., C, H, W], an array or a tensor, as figures take them: of three channels if so chosen, in [0, 1].

    What a likelihood or a scale without bounds puts outside of [0, 1] is black or white.
    """
    return (images if colours is None else images[..., list(colours), :, :]).clip(0, 1)


def panels(shape: Sequence[int]) -> int:
    """How many pictures of an image [..., C, H, W] stand below one another."""
    return 1 if shape[-3] in (1, 3) else shape[-3]


def cell(shape: Sequence[int], factor: int) -> tuple[int, int]:
    """Height and width in pixels of an image [..., C, H, W], enlarged."""
    return panels(shape) * (shape[-2] * factor + THIN) - THIN, shape[-1] * factor


def few_images(count: int, shape: Sequence[int]) -> int:
    """So many of `count` images [..., C, H, W] that a sheet of them is no wall of channels."""
    return count if panels(shape) == 1 else min(count, max(SIDE_BY_SIDE, PANELS // panels(shape)))


def few_rows(count: int, shape: Sequence[int]) -> int:
    """So many of `count` rows of images [..., C, H, W], one or more."""
    return count if panels(shape) == 1 else min(count, max(1, ROWS // panels(shape)))


def tile(images: ArrayLike, columns: int, *, factor: int = 1, gap: int = GAP) -> NDArray[np.uint8]:
    """Images [N, C, H, W] in [0, 1] as one RGB picture [height, width, 3].

    Image i lies in row i // columns and column i % columns, every pixel of it enlarged to `factor` ×
    `factor`; neighbours are `gap` slate pixels apart, and cells without an image stay white. Where channels stand
    below one another, rows of images are BAND white pixels apart.
    """
    array = as_images(images)
    n, rows, (height, width) = len(array), -(-len(array) // columns), cell(array.shape, factor)
    below = (0, BAND) if panels(array.shape) > 1 else (gap, gap)  # slate pixels, and all
    h, w = height + below[1], width + gap
    cells = np.full((rows * columns, h, w, 3), 255, np.uint8)
    cells[:n, : height + below[0]] = SEAM
    cells[:n, :height, :width] = _pixels(array, factor)
    picture = cells.reshape(rows, columns, h, w, 3).swapaxes(1, 2).reshape(rows * h, columns * w, 3)
    return picture[: height - h or None, : -gap or None]


def _pixels(images: NDArray[np.float32], factor: int) -> NDArray[np.uint8]:
    """The picture of each image, enlarged: uint8 [N, height, width, 1 or 3]."""
    levels = np.rint(images * 255).astype(np.uint8).repeat(factor, axis=2).repeat(factor, axis=3)
    if panels(images.shape) == 1:
        return levels.transpose(0, 2, 3, 1)
    n, channels, height, width = levels.shape
    stacked = np.full((n, channels, height + THIN, width, 3), SEAM, np.uint8)
    stacked[:, :, :height] = levels[..., None]
    return stacked.reshape(n, -1, width, 3)[:, :-THIN]


def enlarge(rows: int, columns: int, shape: Sequence[int]) -> int:
    """The whole factor at which a sheet of rows × columns images [..., C, H, W] is comfortable to look at."""
    height, width = shape[-2:]
    down = rows * panels(shape) * height
    return max(1, min(WIDE // (columns * width), TALL // down, CELL // max(height, width)))


def join(pictures: Sequence[NDArray[np.uint8]], gap: int, axis: int) -> NDArray[np.uint8]:
    """Pictures below one another (axis 0) or side by side (axis 1), `gap` white pixels apart, smaller ones padded."""
    most = max(picture.shape[1 - axis] for picture in pictures)
    parts = []
    for picture in pictures:
        white = [(0, 0), (0, 0), (0, 0)]
        white[axis], white[1 - axis] = (0, gap), (0, most - picture.shape[1 - axis])
        parts.append(np.pad(picture, white, constant_values=255))
    joined = np.concatenate(parts, axis)
    return joined[:-gap] if axis == 0 else joined[:, :-gap]


@house
def grid(
    images: ArrayLike, names: Sequence[str] = (), heads: Sequence[str] = (), *, title: str, note: str = ""
) -> Figure:
    """Rows of images [R, S, C, H, W], each named at its left, under heads of the columns."""
    array = np.asarray(images)
    rows, across, *image = array.shape
    factor = enlarge(rows, across, image)
    picture, heights = tile(array.reshape(-1, *image), across, factor=factor), row_centres(rows, image, factor)
    channels = channel_rows(heights, image, factor)
    figure, axes = mount(
        picture, title=title, note=note, rows=(heights, names), channels=channels, top=10 if heads else 0
    )
    if heads:
        label_columns(axes, centres(across, image[2] * factor), heads)
    return figure


def mount(
    picture: NDArray[np.uint8],
    *,
    title: str,
    note: str = "",
    rows: tuple[Sequence[float], Sequence[str]] = ((), ()),
    channels: Sequence[Sequence[float]] = (),
    left: float = 0,
    top: float = 0,
    bottom: float = 0,
    extent: tuple[float, float, float, float] | None = None,
) -> tuple[Figure, Axes]:
    """A figure that shows the picture pixel for pixel, with the title above and room in points for labels.

    Names of rows, with the pixels at whose height they stand, get theirs at the left; the channels of images that stand
    below one another are numbered at the right (see `channel_rows`). Data coordinates are the picture's pixels unless
    `extent` gives others. Wide pictures get a higher resolution, so that the text keeps its size relative to them.
    """
    height, width = picture.shape[:2]
    dpi = DPI * max(1.0, width / 1500)
    left += MARGIN + (text_width(rows[1], TEXT) + 5 if rows[1] else 0)
    bottom, top = bottom + MARGIN, top + 2 * MARGIN + TITLE + (SMALL + 4 if note else 0)
    right = MARGIN + (text_width([_channel(max(map(len, channels)) - 1)], SMALL) + 5 if channels else 0)
    west, east, south, north = (round(points * dpi / 72) for points in (left, right, bottom, top))
    words = max(text_width([title], TITLE), text_width([note], SMALL)) + 2
    across, up = west + max(width, round(words * dpi / 72)) + east, south + height + north
    # The canvas cuts fractions of a pixel off, hence a hair more than the whole number.
    figure = blank((across + 1e-3) / dpi, (up + 1e-3) / dpi, dpi)
    axes = figure.add_axes((west / across, south / up, width / across, height / up))
    axes.imshow(picture, extent=extent, aspect="auto")
    axes.set_axis_off()
    x, y = west / across, 1 - MARGIN * dpi / 72 / up
    figure.text(x, y, title, fontsize=TITLE, color=INK, va="top")
    figure.text(x, y - (TITLE + 5) * dpi / 72 / up, note, fontsize=SMALL, color=MUTED, va="top")
    label_rows(axes, *rows)
    for heights in channels:
        for i in thinned(heights, SMALL * 1.3, axes):
            place = width - 0.5, heights[i]
            label(axes, _channel(i), place, (5, 0), ha="left", va="center", color=MUTED, fontsize=SMALL)
    return figure, axes


def label_rows(axes: Axes, heights: Sequence[float], names: Sequence[str], left: float = 0) -> None:
    """Names to the left of a column of pixels, at these heights; thinned where they would touch."""
    for i in thinned(heights, TEXT * 1.3, axes) if names else ():
        label(axes, names[i], (left - 0.5, heights[i]), (-5, 0), ha="right", va="center", color=MUTED)


def label_columns(axes: Axes, places: Sequence[float], heads: Sequence[str]) -> None:
    """Heads above the picture, at these pixels from its left; thinned where they would touch."""
    for i in thinned(places, text_width(heads, SMALL) + 5, axes):
        label(axes, heads[i], (places[i], -0.5), (0, 4), ha="center", color=MUTED, fontsize=SMALL)


def label(axes: Axes, text: str, place: tuple[float, float], points: tuple[float, float], **style: Any) -> None:
    """A text so many points away from a place of the picture."""
    axes.annotate(text, place, points, textcoords="offset points", annotation_clip=False, **style)


def thinned(centres: Sequence[float], room: float, axes: Axes) -> range:
    """Which labels to keep so that each has `room` points; the first and a constant stride from it."""
    pitch = (centres[1] - centres[0]) * 72 / axes.get_figure(root=True).dpi if len(centres) > 1 else room  # pyright: ignore[reportOptionalMemberAccess]
    return range(0, len(centres), max(1, int(np.ceil(room / max(pitch, 1e-9)))))


def row_centres(count: int, shape: Sequence[int], factor: int, start: float = 0) -> list[float]:
    """Pixel centres of `count` rows of images [..., C, H, W] that `tile` has put below one another, from `start` on."""
    return centres(count, cell(shape, factor)[0], GAP if panels(shape) == 1 else BAND, start)


def channel_rows(heights: Sequence[float], shape: Sequence[int], factor: int) -> list[list[float]]:
    """Pixel centres of the channels of images [..., C, H, W] whose rows are centred at these heights; none of one."""
    count, pitch = panels(shape), shape[-2] * factor + THIN
    return [[y + (i - (count - 1) / 2) * pitch for i in range(count)] for y in heights] if count > 1 else []


def _channel(number: int) -> str:
    return f"channel {number}"


def centres(count: int, size: int, gap: int = GAP, start: float = 0) -> list[float]:
    """Pixel centres of `count` neighbours of this size, the first of which begins at `start`."""
    return [start + i * (size + gap) + (size - 1) / 2 for i in range(count)]
