"""Where the encoder puts the images: the latent means in the plane, coloured by class."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike, NDArray

from vaelab.data.source import Dataset, Split
from vaelab.distributions.latent import location
from vaelab.figures.about import About
from vaelab.figures.classes import colours, legend, legend_width, name_medians, named, roomy, scatter
from vaelab.figures.style import INK, MUTED, PALETTE, SMALL, TITLE, blank, house, quiet
from vaelab.metrics.batches import batches
from vaelab.model import VAE
from vaelab.registry import register

SHOWN = 5000  # means
SIDE, LEFT, BOTTOM, TOP, RIGHT = 5.4, 0.7, 0.6, 0.45, 0.2  # inches of the square axes and around them


@register(
    "figure",
    "latent_space",
    About("Latent map", "Posterior means of test images, coloured by class where there are classes.", usual=True),
)
@torch.no_grad()
def posterior_means(model: VAE, split: Split, data: Dataset, *, title: str = "Latent space") -> Figure:
    """Posterior means of images, by class."""
    shown = split[:SHOWN]
    means = torch.cat([location(model.q_z(x, y)).cpu() for x, y in batches(model, shown)])
    return latent_space(means, shown.labels, data.classes, title=title)


@house
def latent_space(
    means: ArrayLike,
    labels: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    *,
    title: str = "Latent space",
) -> Figure:
    """Points in the plane for D ≥ 2, through PCA for D > 2; a histogram for D = 1.

    Circles (D = 2) and the curve (D = 1) show the standard normal for scale. Classes are named at their
    medians where the names have room, else in a legend.

    Means [N, D] in units of z; labels [N] are integers, with the names of classes 0, 1, …, or a quantity.
    """
    z, y = np.asarray(means, np.float64), None if labels is None else np.asarray(labels)
    if not np.isfinite(z).all():
        raise ValueError("means: some are NaN or infinite; the encoder has diverged")
    names = named(y, classes)
    if z.shape[1] == 1:
        return histogram(z[:, 0], y, names, title)
    points, axis_names = plane(z)
    medians = {k: np.median(points[y == k], 0) for k in names}
    low, high = window(points, z.shape[1] == 2)
    direct = len(z) >= 10 * len(names) and roomy(medians, names, float(high[0] - low[0]) / SIDE)
    beside = legend_width(list(names.values())) if names and not direct else 0.0
    axes = square((low, high), axis_names, title, 0.6 if y is not None and not names else beside)
    if z.shape[1] == 2:
        prior_circles(axes)
    scatter(axes, points, y, names)
    if direct:
        name_medians(axes, medians, names)
    elif names:
        legend(axes, names)
    return axes.figure  # pyright: ignore[reportReturnType]


def plane(z: NDArray) -> tuple[NDArray, tuple[str, str]]:
    """The means themselves if D = 2, else their first two principal components; and the axes' names."""
    if z.shape[1] == 2:
        return z, ("z1", "z2")
    centred = z - z.mean(0)
    variance, directions = np.linalg.eigh(centred.T @ centred / len(z))
    first = directions[:, [-1, -2]]
    # The sign of a component is arbitrary: its largest weight is made positive.
    first = first * np.sign(first[np.abs(first).argmax(0), [0, 1]])
    shares = variance[[-1, -2]].clip(0) / max(variance.sum(), 1e-12)
    names = [f"principal component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(shares)]
    return centred @ first, (names[0], names[1])


def window(points: NDArray, latent: bool) -> tuple[NDArray, NDArray]:
    """Corners of a square around all points; of latents, never so small that a collapse looks spread."""
    middle, reach = (points.max(0) + points.min(0)) / 2, 0.54 * np.ptp(points, 0).max()
    half = max(reach, 1.1 if latent else 0.1)
    return middle - half, middle + half


def square(corners: tuple[NDArray, NDArray], names: tuple[str, str], title: str, beside: float) -> Axes:
    """Square axes of one scale in a figure with room beside them, in inches."""
    width, height = LEFT + SIDE + RIGHT + beside, BOTTOM + SIDE + TOP
    figure = blank(width, height)
    axes = quiet(figure.add_axes((LEFT / width, BOTTOM / height, SIDE / width, SIDE / height)), grid="both")
    (left, bottom), (right, top) = corners
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel=names[0], ylabel=names[1])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.locator_params(nbins=6)
    axes.set_title(title, fontsize=TITLE)
    return axes


def prior_circles(axes: Axes) -> None:
    """One, two and three standard deviations of the standard normal."""
    for radius in (1, 2, 3):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=MUTED, linewidth=0.7, alpha=0.45))
    axes.set_title("circles: 1, 2, 3 σ of the standard normal", loc="right", fontsize=SMALL, color=MUTED)


def histogram(z: NDArray, y: NDArray | None, names: dict[int, str], title: str) -> Figure:
    """Densities stacked by class, so that their sum compares with the standard normal's curve."""
    figure = blank(7, 3.8, layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    axes = quiet(figure.subplots())
    groups, tint = [z[y == k] for k in names] or [z], [*colours(names).values()] or [PALETTE[0]]
    bins = int(np.clip(np.sqrt(len(z)), 8, 80))
    labels = [*names.values()] or ["means"]
    axes.hist(groups, bins, density=True, stacked=True, color=tint, label=labels)
    x = np.linspace(min(-3, z.min()), max(3, z.max()), 200)
    normal = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    axes.plot(x, normal, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="standard normal")
    axes.set(xlabel="z1", ylabel="density")
    axes.set_title(title, fontsize=TITLE)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=1.4)
    return figure
