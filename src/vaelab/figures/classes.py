"""Points of several classes: their colours, and their names at the medians or in a legend."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from vaelab.figures.style import INK, PALETTE, PAPER, SEQUENTIAL, TEXT, TITLE, text_width

MANY = 30  # classes beyond which a legend is no help


def named(y: NDArray | None, classes: Sequence[str] | None) -> dict[int, str]:
    """The classes that occur, with their names; empty where labels are a quantity or too many."""
    if y is None or not np.issubdtype(y.dtype, np.integer):
        return {}
    occurring = np.unique(y).tolist()
    return {} if len(occurring) > MANY else {k: str(classes[k] if classes else k) for k in occurring}


def colours(names: dict[int, str]) -> dict[int, Any]:
    """A colour for every class: of the palette while it lasts, else along the sequential scale."""
    if all(0 <= k < len(PALETTE) for k in names):
        return {k: PALETTE[k] for k in names}
    if len(names) <= len(PALETTE):
        return dict(zip(names, PALETTE, strict=False))
    scale = matplotlib.colormaps[SEQUENTIAL]
    return {k: scale(i / (len(names) - 1)) for i, k in enumerate(names)}


def scatter(axes: Axes, points: NDArray, y: NDArray | None, names: dict[int, str]) -> None:
    """The points, coloured by class or by quantity, in an order in which no class lies on top."""
    order, tint = np.random.default_rng(0).permutation(len(points)), colours(names)
    size = float(np.clip(6e4 / len(points), 3, 22))
    style: dict[str, Any] = {"s": size, "alpha": 0.9 if len(points) < 2000 else 0.7, "linewidths": 0}
    x = points[order].T
    if y is None:
        axes.scatter(*x, color=PALETTE[0], **style)
    elif names:
        axes.scatter(*x, c=[tint[k] for k in y[order].tolist()], **style)
    else:
        colour_bar(axes, axes.scatter(*x, c=y[order], cmap=SEQUENTIAL, **style))


def colour_bar(axes: Axes, dots: Any) -> None:
    """The scale of a quantity, beside the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(dots, cax=axes.inset_axes((1.02, 0.2, 0.025, 0.6)))
    bar.solids.set_alpha(1)  # pyright: ignore[reportOptionalMemberAccess]
    bar.outline.set_visible(False)


def roomy(medians: dict[int, NDArray], names: dict[int, str], scale: float) -> bool:
    """Whether names at the medians keep clear of each other at `scale` data units per inch."""
    inches = np.array([text_width(list(names.values()), TITLE) + 4, TITLE + 4]) / 72
    pairs = combinations(medians.values(), 2)
    return bool(names) and all((np.abs(a - b) > inches * scale).any() for a, b in pairs)


def name_medians(axes: Axes, medians: dict[int, NDArray], names: dict[int, str]) -> None:
    """Names where the classes are, on a halo that sets them off the points."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "fontsize": TITLE, "weight": "bold"}
    for k, (x, y) in medians.items():
        axes.text(x, y, names[k], path_effects=[withStroke(linewidth=3, foreground=PAPER)], **style)


def legend(axes: Axes, names: dict[int, str]) -> None:
    """Dots and names beside the axes."""
    tint = colours(names)
    dots = [Line2D([], [], ls="", marker="o", markersize=6, color=tint[k], label=names[k]) for k in names]
    axes.legend(handles=dots, loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1, borderaxespad=0.2)


def legend_width(names: list[str]) -> float:
    """Inches that the legend takes."""
    return text_width(names, TEXT) / 72 + 0.4
