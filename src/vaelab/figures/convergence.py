"""How the bound on the log-likelihood rises with the number of draws."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.style import ACCENT, MUTED, SMALL, TITLE, blank, house, quiet, signed
from vaelab.registry import register
from vaelab.runs.results import Results


@register(
    "figure",
    "convergence",
    About("Convergence of the bound", "The importance-sampled bound against the number of draws."),
)
@house
def convergence(results: Results | None, *, title: str = "Importance-sampled bound") -> Figure:
    """L_S in nats per image against S on a logarithmic axis; flat at the right means that it has converged."""
    points = results.curve("likelihood", "iwae") if results else []
    if len(points) < 2:
        raise NotApplicable("it needs the likelihood measured by several draws; measure it first")
    draws, bound = np.array(points, np.float64).T
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
