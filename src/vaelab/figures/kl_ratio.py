"""How much of the negative ELBO is KL, and the β that was applied meanwhile."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from vaelab.figures.about import About
from vaelab.figures.curves import PADS, LoggedCurves, Row, across, applied, legend_of, number, panel, pen
from vaelab.figures.style import ACCENT, blank, heading, house, quiet, remark
from vaelab.registry import register


@register("figure", "kl_ratio", About("KL share and β"))
@house
def kl_ratio(rows: Sequence[Row], *, title: str = "KL share and β") -> Figure:
    """Above, the KL's share of the negative ELBO; below, the β that was applied, over the same epochs."""
    log = LoggedCurves(rows)
    figure = blank(7, 4.8)
    above, below = figure.subplots(2, 1, height_ratios=(2, 1))
    beta = applied(log, "beta")
    density = any(number(row, "reconstruction") <= 0 for row in log.rows.values())
    if density:  # log-densities have either sign, so the KL is no share of the sum
        shares = panel(above, log, "kl", "KL, nats per image (no share: the rest is a density)")
    else:
        shares = panel(above, log, share, "KL / (KL + reconstruction)")
    if shares:
        highest = 1.12 * max(curve.y.max() for curve in shares)
        top = (highest if density else min(1.0, highest)) or 1.0
        above.set_ylim(0, top)
        above.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        if not density:
            above.yaxis.set_major_formatter(FuncFormatter(lambda part, _: f"{100 * part:g}%"))
    below.set_title("Applied β")
    quiet(below)
    below.plot(*beta, color=ACCENT, **pen(beta))
    if len(beta.x):
        reach = float(np.abs(beta.y).max()) or 1.0
        below.set_ylim(min(0.0, beta.y.min()) - 0.04 * reach, 1.15 * reach)
        below.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    else:
        remark(below, "not logged")
    for axes in (above, below):
        across(axes, log, [*shares, *([beta] if len(beta.x) else [])])
    above.set_xlabel("")
    above.tick_params(labelbottom=False)
    heading(figure, title, legend_of(log), PADS)
    return figure


def share(row: Row) -> float:
    """KL / (KL + reconstruction); NaN where a term is negative, since then neither is a share of the sum."""
    kl, reconstruction = number(row, "kl"), number(row, "reconstruction")
    return kl / (kl + reconstruction) if reconstruction > 0 and kl >= 0 else np.nan
