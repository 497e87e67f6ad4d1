"""A run that grows, over its epochs: the loss, the resolution as it was applied, and the weights α and β."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.curves import PADS, Curve, LoggedCurves, Row, across, applied, legend_of, panel, pen, upward
from vaelab.figures.style import ACCENT, FAINT, INK, MUTED, PALETTE, blank, heading, house, quiet, remark
from vaelab.figures.training_losses import LOSS
from vaelab.registry import register

COLOURS = {"α": PALETTE[3], "β": ACCENT}
BENEATH: dict[str, Any] = {"linewidth": 3.5, "alpha": 0.6}  # α is seen behind β where both are 1
SHADE: dict[str, Any] = {"facecolor": FAINT, "alpha": 0.5, "linewidth": 0}
FAR = 4  # times by which the losses of stages differ when only a logarithmic axis shows them all
ALIKE = (0.2, 2)  # between these, the largest β is read on the axis of α
MOST = 6  # ticks in a thin panel


@register("figure", "timeline", About("Growing", "Loss, resolution, α and β over the epochs."))
@house
def timeline(rows: Sequence[Row], bound: str = "−ELBO", *, title: str = "Timeline") -> Figure:
    """The loss over the epochs, and below it what was applied: resolution, fade-in α, β.

    Lines at the starts of stages, where the curves of the loss are broken; a shade where a stage fades in. The axis of
    the loss is logarithmic if that of the stages differs by more than a factor of 4.
    """
    log = LoggedCurves(rows)
    resolution, alpha, beta = (applied(log, key) for key in ("resolution", "alpha", "beta"))
    if not len(resolution.x):
        raise NotApplicable("it needs a backbone that grows, such as progressive")
    below = together(alpha, beta)
    thin = len(below) + 1
    figure = blank(8.5, 3.2 + 1.05 * thin)
    panels = figure.subplots(1 + thin, 1, sharex=True, height_ratios=[3] + [1] * thin)
    starts, fading = starts_of(resolution), spans(alpha)
    curves = panel(panels[0], log, "loss", LOSS.format(bound))
    by_stage(panels[0], curves, starts)
    steps(panels[1], resolution)
    for axes, shown in zip(panels[-len(below) :], below, strict=True):
        weights(axes, shown)
        broken(axes, starts)
    for axes in panels:
        for start in starts:
            axes.axvline(start, color=FAINT, linewidth=1, zorder=1)
        for span in fading:
            axes.axvspan(*span, zorder=0, **SHADE)
    across(panels[-1], log, [c for c in (*curves, resolution, alpha, beta) if len(c.x)])
    shade = [Patch(label="fading in", **SHADE)] if fading else []
    heading(figure, title, [*legend_of(log), *shade], PADS)
    return figure


def starts_of(resolution: Curve) -> list[float]:
    """Where stages after the first begin: a row tells of the time since the row before it."""
    return resolution.x[:-1][np.diff(resolution.y) != 0].tolist()


def spans(alpha: Curve) -> list[tuple[float, float]]:
    """From where to where α was below 1."""
    edges = np.flatnonzero(np.diff(alpha.y < 1, prepend=False, append=False)).tolist()
    x = alpha.x.tolist()
    return [(x[max(i - 1, 0)], x[j - 1]) for i, j in zip(edges[::2], edges[1::2], strict=True)]


def by_stage(axes: Axes, curves: Sequence[Curve], starts: Sequence[float]) -> None:
    """Curves broken where a stage begins, and limits within which those of every stage are seen."""
    axes.set_ylabel("nats per image")
    broken(axes, starts)
    parts = [part for curve in curves for part in parted(curve, starts)]
    last = [part.y[-1] for part in parts]
    if starts and parts and min(part.y.min() for part in parts) > 0 and max(last) > FAR * min(last):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plain(axes)
        axes.set_ylabel("nats per image, log scale")
    else:
        upward(axes, parts)


def broken(axes: Axes, starts: Sequence[float]) -> None:
    """Lines that join no value of a stage to one of the next."""
    for line in axes.lines:
        x, y = (np.asarray(values, np.float64) for values in line.get_data())
        breaks = [i for i in np.searchsorted(x, starts, side="right") if 0 < i < len(x)]
        line.set_data(np.insert(x, breaks, np.nan), np.insert(y, breaks, np.nan))


def parted(curve: Curve, starts: Sequence[float]) -> list[Curve]:
    """The parts of a curve that lie in one stage each."""
    breaks = np.searchsorted(curve.x, starts, side="right")
    pairs = zip(np.split(curve.x, breaks), np.split(curve.y, breaks), strict=True)
    return [Curve(x, y) for x, y in pairs if len(x)]


def steps(axes: Axes, resolution: Curve) -> None:
    """The side of the images in pixels, doubling by doubling."""
    axes.set_title("Resolution, pixels")
    quiet(axes)
    axes.plot(*resolution, color=INK, drawstyle="steps-pre", **pen(resolution))
    axes.set_yscale("log", base=2)
    sides = np.unique(resolution.y)
    axes.yaxis.set_major_locator(FixedLocator(sides[:: -(-len(sides) // MOST)].tolist()))
    plain(axes)
    axes.set_ylim(sides[0] / 1.4, sides[-1] * 1.4)


def plain(axes: Axes) -> None:
    """Numbers in full at the ticks of a logarithmic axis, and none between."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def together(alpha: Curve, beta: Curve) -> list[dict[str, Curve]]:
    """α and β as the panels show them: in one, unless one would be lost beside the other."""
    known = {name: curve for name, curve in (("α", alpha), ("β", beta)) if len(curve.x)}
    if len(known) == 2 and not ALIKE[0] <= beta.y.max() <= ALIKE[1]:
        return [{name: curve} for name, curve in known.items()]
    return [known]


def weights(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """α or β or both, from 0 upward."""
    axes.set_title(f"Applied {' and '.join(curves) or 'β'}")
    quiet(axes)
    if not curves:
        remark(axes, "not logged")
        return
    for name, curve in curves.items():
        axes.plot(*curve, color=COLOURS[name], label=name, **pen(curve) | (BENEATH if name == "α" else {}))
    y = np.concatenate([curve.y for curve in curves.values()])
    reach = float(np.abs(y).max()) or 1.0
    axes.set_ylim(min(0.0, y.min()) - 0.06 * reach, 1.15 * reach)
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    if len(curves) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, handlelength=1.4, labelcolor=MUTED, borderpad=0)
