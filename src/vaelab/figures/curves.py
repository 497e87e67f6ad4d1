"""Training logs as curves: tolerant reading of rows, y-limits that early epochs cannot squash, panels."""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vaelab.errors import NotApplicable
from vaelab.figures.style import MUTED, PAPER, SMALL, TRAIN, VALID, quiet, remark, signed
from vaelab.runs.log import Row

Value = str | Callable[[Row], float]  # a key of the rows, or a function of a row
COLOURS = {"train": TRAIN, "valid": VALID}
PADS = {"w_pad": 0.08, "h_pad": 0.07, "wspace": 0.03, "hspace": 0.03}  # around the panels
FEW = 12  # points that are drawn as dots, and all of which are kept in sight


class Curve(NamedTuple):
    """Finite points in the order of x."""

    x: np.ndarray
    y: np.ndarray


class LoggedCurves:
    """The rows of log.jsonl, ready to be read as curves.

    `kind` is "step" or "epoch" (the default), `split` is "train" (the default) or "valid"; other rows are
    left aside. A row that is logged again, as after a resume, replaces the first. x is in epochs; while
    there is no epoch row yet, it is in steps (`unit` says which).
    """

    def __init__(self, rows: Sequence[Row]):
        self.rows: dict[tuple[str, str, float], Row] = {}
        for row in rows:
            kind, split = row.get("kind", "epoch"), row.get("split", "train")
            if kind in ("step", "epoch") and split in COLOURS:
                self.rows[kind, split, number(row, kind)] = row
        if not self.rows:
            raise NotApplicable("it needs a log")
        self.unit = "epoch" if self.has("epoch") else "step"
        self._clock = self._steps_to_epochs()

    def has(self, what: str) -> bool:
        """Whether there are rows of this kind or split."""
        return any(what in where for where in self.rows)

    def curve(self, kind: str, split: str, value: Value) -> Curve:
        """The values without missing and non-finite points, in the unit that they were logged in."""
        read = value if callable(value) else lambda row: number(row, value)
        clock = self._clock if kind == "step" else float
        pairs = [(clock(x), read(row)) for (k, s, x), row in self.rows.items() if (k, s) == (kind, split)]
        points = np.array(pairs, np.float64).reshape(-1, 2)
        points = points[np.isfinite(points).all(1)]
        return Curve(*points[points[:, 0].argsort(kind="stable")].T)

    def _steps_to_epochs(self) -> Callable[[float], float]:
        """Epoch rows say at which step an epoch ended; step rows lie on the straight line through them."""
        ends = {x: number(row, "step") for (kind, _, x), row in self.rows.items() if kind == "epoch"}
        known = sorted((x, step) for x, step in ends.items() if np.isfinite([x, step]).all())
        if not known:
            return float if self.unit == "step" else lambda step: np.nan
        (first, start), (last, end) = known[0], known[-1]
        length = (end - start) / (last - first) if last > first else end / max(last, 1)
        return lambda step: last + (step - end) / length if length > 0 else np.nan


def applied(log: LoggedCurves, key: str) -> Curve:
    """What training steps had, or epochs where no step was logged; validation is at β = 1 by rule."""
    found = log.curve("step", "train", key)
    return found if len(found.x) else log.curve("epoch", "train", key)


def number(row: Row, key: str) -> float:
    """The value of a key; NaN if it is missing, no number, or an integer beyond all floats."""
    value = row.get(key)
    try:
        return float(value) if isinstance(value, Real) else np.nan
    except OverflowError:
        return np.nan


def coarse(curve: Curve, most: int = 300) -> Curve:
    """Neighbouring points averaged until at most about this many are left; single steps are mostly noise."""
    k = math.ceil(len(curve.x) / most) or 1
    n = len(curve.x) // k * k
    return Curve(*(v[:n].reshape(-1, k).mean(1) for v in curve))


def panel(axes: Axes, log: LoggedCurves, value: Value, title: str) -> list[Curve]:
    """Training and validation by epoch, and the training steps faintly behind; returns the curves it drew.

    The first of them are those by epoch, if there are any.
    """
    axes.set_title(title)
    quiet(axes)
    steps = coarse(log.curve("step", "train", value))
    epochs = {split: log.curve("epoch", split, value) for split in COLOURS}
    faint: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.35} if log.has("epoch") else {}
    axes.plot(*steps, color=TRAIN, zorder=1.5, **faint)
    for split, curve in epochs.items():
        axes.plot(*curve, color=COLOURS[split], **pen(curve))
    drawn = [curve for curve in (*epochs.values(), steps) if len(curve.x)]
    if not drawn:
        remark(axes, "not logged")
    return drawn


def pen(curve: Curve) -> dict[str, Any]:
    """Dots while they are few (a single point has no line to be seen by), a finer line when they are many."""
    if len(curve.x) <= FEW:
        return {"marker": "o", "markersize": 3.5}
    return {"linewidth": 1.6 if len(curve.x) <= 200 else 1.0}


def across(axes: Axes, log: LoggedCurves, curves: Sequence[Curve]) -> None:
    """x from the first to the last point, one unit to both sides of a lone point; ticks at whole numbers."""
    axes.set_xlabel(log.unit)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if not curves:
        axes.set_xticks([])
    else:
        x = np.concatenate([curve.x for curve in curves])
        pad = 0.025 * np.ptp(x) or 1
        axes.set_xlim(x.min() - pad, x.max() + pad)


def upward(axes: Axes, curves: Sequence[Curve], keep: Sequence[float] = ()) -> None:
    """y-limits that show late training well; early and stray values may leave, and a remark says so.

    Of a long curve, what counts is the bulk of its last nine tenths. Values in `keep` stay in sight.
    """
    if not curves:
        return
    low, high = np.array([bulk(curve) for curve in curves]).T
    low, high = min(*low, *keep, np.inf), max(*high, *keep, -np.inf)
    # Below two percent of the value, differences are noise that should not fill the panel.
    room = max(0.6 * (high - low), 0.01 * abs(high))
    y = np.concatenate([curve.y for curve in curves])
    bottom, top = max(y.min(), low - room), min(y.max(), high + room)
    pad = max(0.06 * (top - bottom), 0.01 * abs(high), 1e-6)
    axes.set_ylim(bottom - pad, top + pad)
    say = {"transform": axes.transAxes, "ha": "right", "color": MUTED, "fontsize": SMALL}
    box = {"facecolor": PAPER, "linewidth": 0, "pad": 1.5}
    if y.max() > top + pad:
        axes.text(0.99, 0.985, f"↑ up to {signed(y.max(), ',.4g')}", va="top", bbox=box, **say)
    if y.min() < bottom - pad:
        axes.text(0.99, 0.015, f"↓ down to {signed(y.min(), ',.4g')}", va="bottom", bbox=box, **say)


def bulk(curve: Curve) -> tuple[float, float]:
    """Range of a short curve; of a long one, 2 % and 98 % quantiles of its last nine tenths."""
    if len(curve.y) <= FEW // 2:
        return curve.y.min(), curve.y.max()
    low, high = np.quantile(curve.y[curve.x >= curve.x.min() + 0.1 * np.ptp(curve.x)], [0.02, 0.98])
    return float(low), float(high)


def legend_of(log: LoggedCurves) -> list[Artist]:
    """What the colours of the panels stand for."""
    names = {"train": "train", "valid": "validation"}
    handles: list[Artist] = [Line2D([], [], color=COLOURS[s], label=n) for s, n in names.items() if log.has(s)]
    if log.has("step") and log.has("epoch"):
        handles.append(Line2D([], [], color=TRAIN, linewidth=0.8, alpha=0.45, label="train, within epochs"))
    return handles
