"""The KL of each level of a hierarchical model: over the epochs, and as it is at last."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.classes import colours
from vaelab.figures.curves import Curve, LoggedCurves, Row, across, pen, upward
from vaelab.figures.style import INK, MUTED, SMALL, TEXT, blank, heading, house, quiet, signed
from vaelab.registry import register

Curves = Mapping[str, Mapping[int, Curve]]  # by split and level
NAMES = {"train": "train", "valid": "validation"}
PALE: dict[str, Any] = {"linewidth": 1.0, "alpha": 0.45}  # training, where there is validation too
SLOTS = 4  # bars for which there is room at least, so that those of two levels are no blocks
ROOM = 1.5  # times the longest bar, for the numbers behind it


@register(
    "figure", "level_kl", About("KL of each level", "How many nats of the image each level of the latents holds.")
)
@house
def level_kl(rows: Sequence[Row], *, title: str = "KL of each level") -> Figure:
    """A line per level over the epochs, and beside it bars with the last values on the validation set, and their sum.

    Of rows with `kl_1`, `kl_2`, …, in nats per image, the top level first. Before the first epoch has ended the steps
    are drawn, and without validation the bars are of the training.
    """
    log = LoggedCurves(rows)
    curves = {split: by_level(log, split) for split in NAMES}
    curves = {split: found for split, found in curves.items() if found}
    if not curves:
        raise NotApplicable("it needs latents of several levels")
    levels = sorted({level for found in curves.values() for level in found})
    tint = dict(zip(levels, colours(dict.fromkeys(range(len(levels)), "")).values(), strict=True))
    figure = blank(9, max(3.3, 1.3 + 0.17 * len(levels)))
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    styles = {split: PALE if split == "train" and len(curves) > 1 else {} for split in curves}
    lines(left, log, curves, tint, styles)
    split = list(curves)[-1]
    bars(right, curves[split], tint, split, log.unit)
    handles = [Line2D([], [], color=MUTED, label=NAMES[split], **styles[split]) for split in curves]
    heading(figure, title, handles, {"w_pad": 0.08, "h_pad": 0.07, "wspace": 0.04})
    return figure


def by_level(log: LoggedCurves, split: str) -> dict[int, Curve]:
    """The curves of a split, by the number of the level; of the steps while there is no epoch."""
    keys = {key for row in log.rows.values() for key in row if re.fullmatch(r"kl_\d+", key)}
    found = {int(key[3:]): log.curve(log.unit, split, key) for key in keys}
    return {level: found[level] for level in sorted(found) if len(found[level].x)}


def lines(
    axes: Axes, log: LoggedCurves, curves: Curves, tint: Mapping[int, Any], styles: Mapping[str, Mapping[str, Any]]
) -> None:
    """All levels of both splits, from 0 upward."""
    quiet(axes).set(title="Over the training", ylabel="nats per image")
    drawn = [(split, level, curve) for split, found in curves.items() for level, curve in found.items()]
    for split, level, curve in drawn:
        axes.plot(*curve, color=tint[level], **(styles[split] or pen(curve)))
    across(axes, log, [curve for *_, curve in drawn])
    upward(axes, [curve for *_, curve in drawn])
    low, high = axes.get_ylim()
    axes.set_ylim(bottom=min(low, -0.02 * high))


def bars(axes: Axes, curves: Mapping[int, Curve], tint: Mapping[int, Any], split: str, unit: str) -> None:
    """The last value of each level, from the top level down, and the sum of them in the title."""
    last, values = max(curve.x[-1] for curve in curves.values()), [curve.y[-1] for curve in curves.values()]
    axes.set_title(f"{NAMES[split].capitalize()}, {unit} {last:g}: sum {signed(sum(values), ',.2f')} nats")
    quiet(axes, "x").spines["bottom"].set_visible(False)
    places = range(len(values))
    axes.barh(places, values, height=0.62, color=[tint[level] for level in curves])
    axes.set_yticks(places, [f"level {level} (top)" if level == 1 else f"level {level}" for level in curves])
    axes.tick_params(axis="y", labelsize=TEXT, labelcolor=INK)
    axes.set_xticks([])
    for place, (value, curve) in enumerate(zip(values, curves.values(), strict=True)):
        older = "" if curve.x[-1] == last else f" ({unit} {curve.x[-1]:g})"
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": MUTED, "fontsize": SMALL}
        axes.annotate(signed(value, ",.2f") + older, (max(value, 0.0), place), (4, 0), **style)
    longest = max(*values, 0.0) or 1.0
    axes.set(xlim=(min(0.0, *values), ROOM * longest), ylim=(max(len(values), SLOTS) - 0.5, -0.5))
