"""Loss, reconstruction and KL over the epochs of a run."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vaelab.figures.about import About
from vaelab.figures.curves import PADS, LoggedCurves, Row, across, legend_of, number, panel, upward
from vaelab.figures.style import FAINT, VALID, blank, heading, house, signed
from vaelab.registry import register

LOSS = "Loss: train objective, validation {}"
PANELS = {"loss": LOSS, "reconstruction": "Reconstruction", "kl": "KL divergence"}


@register("figure", "training_losses", About("Training"))
@house
def training_losses(rows: Sequence[Row], bound: str = "−ELBO", *, title: str = "Training") -> Figure:
    """Three panels over the epochs, in nats per image; the best validation epoch is marked in the first.

    Training rows by step and by epoch have the objective as their loss, validation rows the `bound` at β = 1.
    """
    log = LoggedCurves(rows)
    figure = blank(11.5, 3.4)
    panels = figure.subplots(1, 3)
    valid = log.curve("epoch", "valid", "loss")
    kept = log.curve("epoch", "valid", lambda row: number(row, "loss") if row.get("best") else float("nan"))
    # Where rows do not say which epoch was kept, the least; of a growing model the least is of smaller images.
    best = np.flatnonzero(valid.x == kept.x[-1]) if len(kept.x) else valid.y.argsort()[:1]
    for axes, (key, name) in zip(panels, PANELS.items(), strict=True):
        curves = panel(axes, log, key, name.format(bound))
        across(axes, log, curves)
        upward(axes, curves, keep=valid.y[best].tolist() if key == "loss" else ())
    panels[0].set_ylabel("nats per image")
    marks = [ring(panels[0], float(valid.x[i]), float(valid.y[i])) for i in best]
    heading(figure, title, [*legend_of(log), *marks], PADS)
    return figure


def ring(axes: Axes, epoch: float, loss: float) -> Line2D:
    """A ring around the best validation loss, to be explained in the legend."""
    axes.axvline(epoch, color=FAINT, linewidth=1, zorder=1)
    text = f"best validation {signed(loss, ',.2f')}, epoch {epoch:g}"
    style = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": VALID}
    return axes.plot([epoch], [loss], linestyle="", zorder=4, label=text, **style)[0]
