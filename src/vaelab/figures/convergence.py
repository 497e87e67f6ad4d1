"""How the bound on the log-likelihood rises with the number of draws."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from vaelab.figures.style import ACCENT, MUTED, SMALL, TITLE, blank, house, quiet, signed
from vaelab.registry import register


@register("figure", "convergence")
@house
def convergence(points: Sequence[tuple[float, float]], *, title: str = "Importance-sampled bound") -> Figure:
    """L_S in nats per image against S on a logarithmic axis; flat at the right means that it has converged.

    Args:
        points: (S, L_S), S rising.
        title: what stands above.
    """
    draws, bound = np.array(points, np.float64).reshape(-1, 2).T
    figure = blank(7, 3.4, layout="constrained")
    axes = quiet(figure.subplots())
    figure.suptitle(title, x=0.012, ha="left", fontsize=TITLE)
    axes.plot(draws, bound, color=ACCENT, marker="o", markersize=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(draws.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(draws, [f"{s:,.0f}" for s in draws])
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel("draws per image")
    axes.set_ylabel("nats per image")
    for place, offset in ((0, -13), (-1, 7)):  # below the first point, above the last: clear of a rising line
        text = signed(bound[place], ",.2f")
        where = {"xytext": (0, offset), "textcoords": "offset points", "ha": "center"}
        axes.annotate(text, (draws[place], bound[place]), color=MUTED, fontsize=SMALL, **where)
    axes.margins(x=0.06, y=0.18)
    return figure
