"""Numbers per image of several sets: boxes side by side, and violins about the mean of one of them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vaelab.figures.style import INK, MUTED, PALETTE, PAPER, SMALL, TEXT, TITLE, blank, house, quiet, text_width

Sets = Mapping[str, ArrayLike]  # numbers [N] by the name of a set
REAL = "real"  # the set that others are compared with
WHISKERS = (5, 95)  # percent
MOST = 50_000  # numbers of a set that are drawn
BAND, PANEL, ABOVE, BELOW = 0.34, 2.5, 0.85, 0.4  # inches: of a set, of a panel, and around the panels
THIN = {"color": INK, "linewidth": 0.8}
DOT = {"marker": "o", "markeredgecolor": INK, "markeredgewidth": 0.9, "markersize": 4}
PENS: dict[str, Any] = {
    "boxprops": {"linewidth": 0}, "medianprops": {"color": INK, "linewidth": 1.4}, "whiskerprops": THIN,
    "capprops": THIN, "meanprops": DOT | {"markerfacecolor": PAPER},
}  # fmt: skip


@house
def boxes(values: Mapping[str, Sets], *, title: str = "Sharpness of single images") -> Figure:
    """A panel for each quantity, a box for each set: quartiles, whiskers from 5 % to 95 %, a dot at the mean.
    Numbers per image [N] by quantity and set; the real images are grey, their median goes on as a dotted line.
    """

    def draw(axes: Axes, rows: dict[str, NDArray]) -> None:
        parts = axes.boxplot(
            list(rows.values()), orientation="horizontal", whis=WHISKERS, showfliers=False, showmeans=True, widths=0.55,
            patch_artist=True, **PENS
        )  # fmt: skip
        for patch, colour in zip(parts["boxes"], _colours(list(rows)), strict=True):
            patch.set(facecolor=colour, alpha=0.85)
        if REAL in rows:
            axes.axvline(float(np.median(rows[REAL])), color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        if all(row.min() >= 0 for row in rows.values()):
            axes.set_xlim(left=0)

    note = "Box: quartiles and median. Whiskers: 5 % to 95 %. Dot: mean."
    return _panels(values, draw, title, note)


@house
def violins(values: Mapping[str, Sets], *, title: str = "Sharpness, against real images") -> Figure:
    """A panel for each quantity, a violin for each set: the density of its values minus the mean of the real images.

    Numbers per image [N] by quantity and set, with the real ones, whose mean is 0.
    """

    def draw(axes: Axes, rows: dict[str, NDArray]) -> None:
        deltas = {name: row - rows[REAL].mean() for name, row in rows.items()}
        shown = [_bulk(delta) for delta in deltas.values()]  # tails would squash the rest
        parts: Any = axes.violinplot(shown, orientation="horizontal", widths=0.85, points=200, showextrema=False)
        for body, colour in zip(parts["bodies"], _colours(list(rows)), strict=True):
            body.set(facecolor=colour, edgecolor=colour, alpha=0.75, linewidth=0.8)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        for place, delta in enumerate(deltas.values(), 1):
            axes.hlines(place, *np.percentile(delta, (25, 75)), color=INK, linewidth=2.2)
            axes.plot(delta.mean(), place, color=PAPER, **DOT)

    note = f"Differences from the mean of {REAL}, without the outermost 1 %. Bar: quartiles. Dot: mean."
    return _panels(values, draw, title, note)


def _panels(
    values: Mapping[str, Sets], draw: Callable[[Axes, dict[str, NDArray]], None], title: str, note: str
) -> Figure:
    """One panel beside the other, the sets from top to bottom, their names at the left."""
    names = list(next(iter(values.values()), {}))
    left = text_width(names, TEXT) / 72 + 0.25
    width, height = left + PANEL * len(values) + 0.1, ABOVE + BAND * len(names) + 0.2 + BELOW
    figure = blank(width, height)
    for i, (quantity, sets) in enumerate(values.items()):
        size = (PANEL - 0.25) / width, 1 - (ABOVE + BELOW) / height
        axes = quiet(figure.add_axes(((left + i * PANEL) / width, BELOW / height, *size)), "x")
        draw(axes, {name: _some(sets[name]) for name in names})
        axes.set(title=quantity, ylim=(len(names) + 0.6, 0.4), yticks=range(1, len(names) + 1))
        axes.set_yticklabels(names if i == 0 else [], fontsize=TEXT, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    x, y = 0.12 / width, 1 - 0.12 / height
    figure.text(x, y, title, fontsize=TITLE, va="top")
    figure.text(x, y - (TITLE + 5) / 72 / height, note, fontsize=SMALL, color=MUTED, va="top")
    return figure


def _some(row: ArrayLike) -> NDArray:
    """The numbers, of many an even selection."""
    array = np.asarray(row, np.float64)
    return array[:: -(-len(array) // MOST)]


def _bulk(row: NDArray) -> NDArray:
    low, high = np.percentile(row, (0.5, 99.5))
    return row[(row >= low) & (row <= high)]


def _colours(names: list[str]) -> list[str]:
    """Grey for the real images, the palette for the others in their order."""
    others = [name for name in names if name != REAL]
    return [PALETTE[-1] if n == REAL else PALETTE[others.index(n) % (len(PALETTE) - 1)] for n in names]
