"""Where the encoder puts the images: the latent means in the plane, coloured by class."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from vaelab.figures.style import (
    FAINT,
    INK,
    MUTED,
    PALETTE,
    PAPER,
    SEQUENTIAL,
    SMALL,
    TEXT,
    TITLE,
    blank,
    house,
    quiet,
)
from vaelab.registry import register

MANY = 30  # classes beyond which a legend is no help


@register("figure", "latent_space")
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

    Args:
        means: [N, D], in units of z.
        labels: [N]; integers are classes, floats a quantity with a colour bar.
        classes: the names of classes 0, 1, …; the numbers themselves if not given.
        title: what stands above.
    """
    z, y = checked(means, labels, classes)
    names = named(y, classes)
    if z.shape[1] == 1:
        return histogram(z[:, 0], y, names, title)
    points, axis_names = plane(z)
    figure, axes = square(points, axis_names, title)
    if z.shape[1] == 2:
        prior_circles(axes)
    order = np.random.default_rng(0).permutation(len(z))  # else the last class would lie on top of the others
    size = float(np.clip(6e4 / len(z), 3, 22))
    style = {"s": size, "alpha": 0.9 if len(z) < 2000 else 0.7, "linewidths": 0}
    if y is not None and not names:
        dots = axes.scatter(*points[order].T, c=y[order], cmap=SEQUENTIAL, **style)
        figure.colorbar(dots, ax=axes, shrink=0.6, aspect=28, pad=0.02).outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return figure
    colour = colours(names)
    of_point = PALETTE[0] if y is None else [colour[k] for k in y[order].tolist()]
    axes.scatter(*points[order].T, c=of_point, **style)
    label_classes(
        axes, {k: np.median(points[y == k], 0) for k in names} if y is not None else {}, names, colour
    )
    return figure


def checked(
    means: ArrayLike, labels: ArrayLike | None, classes: Sequence[str] | None
) -> tuple[NDArray, NDArray | None]:
    """Means as float64 and labels as integers or floats, or a ValueError that says what is wrong."""
    z, y = np.asarray(means, np.float64), None if labels is None else np.asarray(labels)
    if z.ndim != 2 or z.size == 0:
        raise ValueError(f"means: expected [N, D] with at least one of each, got {list(z.shape)}")
    if not np.isfinite(z).all():
        raise ValueError("means: some are NaN or infinite; the encoder has diverged")
    if y is not None and y.shape != (len(z),):
        raise ValueError(f"labels: expected one for each of {len(z)} means, got {list(y.shape)}")
    whole = y is not None and np.issubdtype(y.dtype, np.integer)
    if y is not None and whole and classes is not None and not 0 <= y.min() <= y.max() < len(classes):
        raise ValueError(f"labels: {y.min()} to {y.max()} do not index the {len(classes)} classes")
    return z, y


def named(y: NDArray | None, classes: Sequence[str] | None) -> dict[int, str]:
    """The classes that occur, with their names; empty where labels are a quantity or too many."""
    if y is None or not np.issubdtype(y.dtype, np.integer):
        return {}
    occurring = np.unique(y).tolist()
    return {} if len(occurring) > MANY else {k: classes[k] if classes else str(k) for k in occurring}


def colours(names: dict[int, str]) -> dict[int, Any]:
    """A colour for every class: by its number while the palette lasts, else along the sequential scale."""
    if not names or (min(names) >= 0 and max(names) < len(PALETTE)):
        return {k: PALETTE[k] for k in names}
    if len(names) <= len(PALETTE):
        return dict(zip(names, PALETTE, strict=False))
    scale = matplotlib.colormaps[SEQUENTIAL]
    return {k: scale(i / (len(names) - 1)) for i, k in enumerate(names)}


def plane(z: NDArray) -> tuple[NDArray, tuple[str, str]]:
    """The means themselves if D = 2, else their first two principal components; and the axes' names."""
    if z.shape[1] == 2:
        return z, ("z1", "z2")
    centred = z - z.mean(0)
    variance, directions = np.linalg.eigh(centred.T @ centred / len(z))
    # eigh leaves the sign open: the largest weight of each component is made positive.
    top = directions[:, :-3:-1] * np.sign(directions[np.abs(directions).argmax(0), range(z.shape[1])])[:-3:-1]
    share = variance[:-3:-1].clip(0) / max(variance.sum(), 1e-12)
    names = [f"principal component {i + 1} ({s:.0%} of variance)" for i, s in enumerate(share)]
    return centred @ top, (names[0], names[1])


def square(points: NDArray, names: tuple[str, str], title: str) -> tuple[Figure, Axes]:
    """Square axes of one scale around all points."""
    figure = blank(6.4, 6.2, layout="constrained")
    axes = quiet(figure.subplots(), grid="both")
    middle, half = (points.max(0) + points.min(0)) / 2, 0.54 * max(np.ptp(points, 0).max(), 1e-3)
    axes.set(
        xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal"
    )
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_title(title, fontsize=TITLE)
    return figure, axes


def prior_circles(axes: Axes) -> None:
    """One, two and three standard deviations of the standard normal, as far as they are in sight."""
    for radius in (1, 2, 3):
        axes.add_patch(
            Circle((0, 0), radius, fill=False, edgecolor=MUTED, linewidth=0.7, alpha=0.5, zorder=1.5)
        )


def label_classes(
    axes: Axes, medians: dict[int, NDArray], names: dict[int, str], colour: dict[int, Any]
) -> None:
    """Names at the medians if no two would touch, else a legend beside the axes."""
    width = np.diff(axes.get_xlim())[0]
    long = max(map(len, names.values()), default=0)
    room = np.array([0.018 * max(long, 2) + 0.01, 0.04]) * width
    apart = [np.abs(a - b) for i, a in medians.items() for j, b in medians.items() if i < j]
    if all((gap > room).any() for gap in apart):
        for k, place in medians.items():
            halo = [withStroke(linewidth=3, foreground=PAPER)]
            axes.text(
                *place,
                names[k],
                ha="center",
                va="center",
                color=INK,
                fontsize=TITLE,
                weight="bold",
                path_effects=halo,
            )
        return
    dots = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=colour[k], label=names[k]) for k in names
    ]  # pyright: ignore[reportArgumentType]
    axes.legend(handles=dots, loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1, fontsize=TEXT)


def histogram(z: NDArray, y: NDArray | None, names: dict[int, str], title: str) -> Figure:
    """Densities stacked by class, so that their sum compares with the standard normal's curve."""
    figure = blank(7, 3.8, layout="constrained")
    axes = quiet(figure.subplots())
    groups, colour = [z[y == k] for k in names] if names else [z], colours(names)
    tints = [colour[k] for k in names] if names else [PALETTE[0]]
    bins = int(np.clip(np.sqrt(len(z)), 8, 80))
    axes.hist(groups, bins, density=True, stacked=True, color=tints, label=list(names.values()) or None)  # pyright: ignore[reportArgumentType]
    x = np.linspace(min(-3, z.min()), max(3, z.max()), 200)
    axes.plot(
        x,
        np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
        color=INK,
        linewidth=1,
        linestyle=(0, (4, 3)),
        label="N(0, 1)",
    )
    axes.set(xlabel="z1", ylabel="density")
    axes.set_title(title, fontsize=TITLE)
    axes.grid(color=FAINT)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=SMALL, handlelength=1.4)
    return figure
