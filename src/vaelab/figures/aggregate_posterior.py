"""Where images are encoded against where the prior draws: one small density per latent dimension."""

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from vaelab.data.source import Split
from vaelab.distributions.estimates import kolmogorov_smirnov
from vaelab.distributions.seeds import seeded
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED
from vaelab.figures.style import INK, MUTED, SMALL, blank, heading, house
from vaelab.metrics.aggregate import drawn_from_both
from vaelab.model import VAE, device_of
from vaelab.registry import register

MOST, COLUMNS = 20, 5
WIDTH, HEIGHT, HEAD = 1.85, 1.55, 0.45  # inches of a panel, and of the line above them
TITLED = 5.8  # inches that the title and the legend take
PADS = {"w_pad": 0.08, "h_pad": 0.06, "wspace": 0.04, "hspace": 0.04}
FILL = "#8fc1e3"  # the palette's blue, lighter


@register(
    "figure",
    "aggregate_posterior",
    About("Aggregated posterior", "Densities of all posteriors together, against the prior."),
)
def draws(model: VAE, split: Split, *, title: str = "Aggregated posterior and prior") -> Figure:
    """One draw of q(z | x) per image, against draws of the prior: those that the metric `aggregate` measures."""
    with seeded(SEED, device_of(model)):
        return aggregate_posterior(*drawn_from_both(model, split), title=title)


@house
def aggregate_posterior(
    posterior: ArrayLike, prior: ArrayLike, *, title: str = "Aggregated posterior and prior"
) -> Figure:
    """Densities per dimension of draws of q(z | x) [N, D] and p(z) [M, D], those of the largest KS distance first."""
    q, p = (np.asarray(draws, np.float64) for draws in (posterior, prior))
    if not (np.isfinite(q).all() and np.isfinite(p).all()):
        raise ValueError("some draws are NaN or infinite; the model has diverged")
    distances = kolmogorov_smirnov(*map(torch.from_numpy, (q, p))).numpy()
    shown = np.argsort(-distances, kind="stable")[:MOST]
    columns = min(len(shown), COLUMNS)
    rows = math.ceil(len(shown) / columns)
    figure = blank(max(columns * WIDTH, TITLED), rows * HEIGHT + HEAD)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, d in zip(panels, shown, strict=False):
        panel(axes, q[:, d], p[:, d])
        axes.set_title(f"z{d + 1}")
        axes.set_title(f"KS {distances[d]:.2f}", loc="right", fontsize=SMALL, color=MUTED)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    count = q.shape[1]
    title = title if count <= MOST else f"{title}: {MOST} of {count} dimensions, largest distance first"
    line = Line2D([], [], color=INK, linewidth=1, label="prior")
    heading(figure, title, [Patch(color=FILL, label="aggregated posterior"), line], PADS)
    return figure


def panel(axes: Axes, q: NDArray, p: NDArray) -> None:
    """The posterior's histogram filled, the prior's as a line, in the same bins; a thousandth of each tail is cut."""
    low, high = (f([np.quantile(draws, share) for draws in (q, p)]) for f, share in ((min, 0.001), (max, 0.999)))
    count = int(np.clip(2 * min(len(q), len(p)) ** (1 / 3), 8, 40))  # Rice's rule
    bins = np.linspace(low, high if high > low else low + 1, count + 1)
    axes.hist(q, bins.tolist(), density=True, histtype="stepfilled", color=FILL)
    axes.hist(p, bins.tolist(), density=True, histtype="step", color=INK, linewidth=1)
    axes.set(yticks=[], xlim=(bins[0], bins[-1]))
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
