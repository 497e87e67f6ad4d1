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
WHISKERS = (5, 95)  # percent
MOST = 50_000  # numbers of a set that are drawn
BAND, PANEL, ABOVE, BELOW = 0.34, 2.5, 0.85, 0.4  # inches: of a set, of a panel, and around the panels


@house
def boxes(values: Mapping[str, Sets], *, reference: str = "real", title: str = "Sharpness of single images") -> Figure:
    """A panel for each quantity, a box for each set: quartiles, whiskers from 5 % to 95 %, a dot at the mean.
    Numbers per image [N] by quantity and set; the `reference` is grey, its median goes on as a dotted line.
    """

    def draw(axes: Axes, rows: dict[str, NDArray]) -> None:
        parts = axes.boxplot(
            list(rows.values()), orientation="horizontal", whis=WHISKERS, showfliers=False, showmeans=True, widths=0.55,
            patch_artist=True, **_pens()
        )  # fmt: skip
        for patch, colour in zip(parts["boxes"], _colours(list(rows), reference).values(), strict=True):
            patch.set(facecolor=colour, alpha=0.85)
        if reference in rows:
            axes.axvline(float(np.median(rows[reference])), color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        if all(row.min() >= 0 for row in rows.values()):
            axes.set_xlim(left=0)

    note = "Box: quartiles and median. Whiskers: 5 % to 95 %. Dot: mean."
    return _panels(values, draw, title, note)


@house
def violins(
    values: Mapping[str, Sets], *, reference: str = "real", title: str = "Sharpness, against real images"
) -> Figure:
    """A panel for each quantity, a violin for each set: the density of its values minus the mean of the reference.

    Numbers per image [N] by quantity and set, with the `reference`, whose mean is 0.
    """

    def draw(axes: Axes, rows: dict[str, NDArray]) -> None:
        deltas = {name: row - rows[reference].mean() for name, row in rows.items()}
        shown = [_bulk(delta) for delta in deltas.values()]  # tails would squash the rest
        parts: Any = axes.violinplot(shown, orientation="horizontal", widths=0.85, points=200, showextrema=False)
        for body, colour in zip(parts["bodies"], _colours(list(rows), reference).values(), strict=True):
            body.set(facecolor=colour, edgecolor=colour, alpha=0.75, linewidth=0.8)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        for place, delta in enumerate(deltas.values(), 1):
            axes.hlines(place, *np.percentile(delta, (25, 75)), color=INK, linewidth=2.2)
            axes.plot(delta.mean(), place, "o", color=PAPER, markeredgecolor=INK, markeredgewidth=0.9, markersize=4)

    note = f"Differences from the mean of {reference}, without the outermost 1 %. Bar: quartiles. Dot: mean."
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
        draw(axes, {name: _numbers(sets[name], f"{quantity} of {name}") for name in names})
        axes.set(title=quantity, ylim=(len(names) + 0.6, 0.4), yticks=range(1, len(names) + 1))
        axes.set_yticklabels(names if i == 0 else [], fontsize=TEXT, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    x, y = 0.12 / width, 1 - 0.12 / height
    figure.text(x, y, title, fontsize=TITLE, va="top")
    figure.text(x, y - (TITLE + 5) / 72 / height, note, fontsize=SMALL, color=MUTED, va="top")
    return figure


def _numbers(row: ArrayLike, name: str) -> NDArray:
    """Finite numbers, of many an even selection."""
    array = np.asarray(row, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"values: {name} must be finite numbers [N], at least one")
    return array[:: -(-len(array) // MOST)]


def _bulk(row: NDArray) -> NDArray:
    low, high = np.percentile(row, (0.5, 99.5))
    return row[(row >= low) & (row <= high)]


def _colours(names: list[str], reference: str) -> dict[str, str]:
    """Grey for the reference, the palette for the others in their order."""
    others = [name for name in names if name != reference]
    return {n: PALETTE[-1] if n == reference else PALETTE[others.index(n) % (len(PALETTE) - 1)] for n in names}


def _pens() -> dict[str, Any]:
    """How the parts of a box are drawn."""
    thin = {"color": INK, "linewidth": 0.8}
    dot = {"marker": "o", "markerfacecolor": PAPER, "markeredgecolor": INK, "markersize": 4, "markeredgewidth": 0.9}
    return {
        "boxprops": {"linewidth": 0},
        "medianprops": {"color": INK, "linewidth": 1.4},
        "whiskerprops": thin,
        "capprops": thin,
        "meanprops": dot,
    }
