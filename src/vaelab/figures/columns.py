"""Images of several sources, a column for each: what one made of an image stands level with what the others made."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.figures.style import INK, TEXT, house, text_width
from vaelab.figures.tiles import DPI, channel_rows, enlarge, join, label, mount, row_centres, tile

APART = 16  # pixels between one column and the next
SHEET = 20  # images side by side, over all columns
LINE = 1.25 * TEXT  # points that a line of a name takes


@house
def columns(images: Mapping[str, ArrayLike], *, title: str, note: str = "") -> Figure:
    """A column of images [N, C, H, W] under each name, image i at the same place in all; the last row is full."""
    n, *shape = np.shape(next(iter(images.values())))
    across = max(d for d in range(1, max(2, SHEET // len(images)) + 1) if n % d == 0)
    rows = -(-n // across)
    factor = enlarge(rows, across * len(images), shape)
    tiles = [tile(block, across, factor=factor) for block in images.values()]
    picture = join(tiles, APART, axis=1)
    width = tiles[0].shape[1]
    labels = [_wrapped(name, width * 72 / DPI / max(1.0, picture.shape[1] / 1500)) for name in images]
    lines = max(name.count("\n") + 1 for name in labels)
    channels = channel_rows(row_centres(rows, shape, factor), shape, factor)
    figure, axes = mount(picture, title=title, note=note, channels=channels, top=lines * LINE + 6)
    for i, name in enumerate(labels):
        label(axes, name, (i * (width + APART) - 0.5, -0.5), (0, 5), ha="left", va="bottom", color=INK)
    return figure


def _wrapped(name: str, room: float) -> str:
    """A name in lines of at most so many points, broken at hyphens where there are any."""
    letters = min(len(name), int(1.5 * len(name) * room / max(1.0, text_width([name], TEXT))) + 1)
    while letters > 1 and text_width(textwrap.wrap(name, letters), TEXT) > room:
        letters -= 1
    return "\n".join(textwrap.wrap(name, letters))
