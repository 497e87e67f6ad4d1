"""Curves and bars as SVG, which a page shows without any script; curves in units of their data, for one that zooms."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from vaelab.io.formatting import typeset

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 34  # margins
WIDE, TALL = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
POINTS = 300  # of a curve, more than a screen tells apart
COLOURS = 8  # that the page has; what comes further begins again
DASH = 6  # length of a dash, where curves that lie on one another take turns
DIGIT = 9  # room for one of a number, and a share of the gap to the next, also in the larger type on a phone
EDGE = 0.03  # of the width, for the half of a dot
OUTLIERS = 0.03  # share of the highest values that may lie above the first view

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """A named curve; `colour` is the number of a colour of the page."""

    label: str
    points: Points
    colour: int
    faint: bool = False


class Bar(NamedTuple):
    """A latent dimension, its KL in nats, and its level where there are several."""

    label: str
    value: float
    level: int | None = None


@dataclass(frozen=True)
class Chart:
    """Curves over the epochs in one frame."""

    title: str
    unit: str
    series: Sequence[Series]
    best: float | None = None  # epoch that is marked
    note: str = ""

    @property
    def svg(self) -> str:
        """The drawing; its inner `svg` has the curves in units of the data, so that another `viewBox` zooms."""
        first, last, low, high = self.view
        lines = "".join(
            f'<polyline {self._stroke(s)} points="{" ".join(map(_place, s.points))}"/>' for s in self.series
        )
        box = f'viewBox="{first:.9g} {-high:.9g} {last - first:.9g} {high - low:.9g}" preserveAspectRatio="none"'
        return (
            f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.alt)}">'
            f'{_grid(self.view)}<svg class="frame" x="{LEFT}" y="{TOP}" width="{WIDE}" height="{TALL}">'
            f'<svg class="curves" {box}><g transform="scale(1 -1)">{lines}</g></svg>{_best(self.best, self.view)}'
            f"</svg>{_axis('epoch')}</svg>"
        )

    def _stroke(self, series: Series) -> str:
        kind = f"line c{series.colour}{' faint' * series.faint}{' lone' * _lone(series.points)}"
        return f'class="{kind}"{self.dashes.get(series.label, "")}'

    @property
    def alt(self) -> str:
        """The drawing in words."""
        told = [
            f"{s.label} from {typeset(s.points[0][1])} to {typeset(s.points[-1][1])}" for s in self.series if s.points
        ]
        return f"{self.title} over the epochs{', in ' + self.unit if self.unit else ''}: {'; '.join(told)}."

    @property
    def view(self) -> tuple[float, float, float, float]:
        """What is first seen, with room beside a lone point at the edge."""
        first, last, low, high = _view([p for s in self.series for p in s.points])
        lone, room = [s.points[0][0] for s in self.series if _lone(s.points)], EDGE * (last - first)
        return first - room * (first in lone), last + room * (last in lone), low, high

    @property
    def alike(self) -> list[list[str]]:
        """Names of curves that lie on one another, so that one would hide the rest."""
        low, high = self.view[2:]
        groups: list[list[Series]] = []
        for s in self.series:
            group = next((g for g in groups if _same(g[0].points, s.points, 0.004 * (high - low))), None)
            group.append(s) if group else groups.append([s])
        return [[s.label for s in group] for group in groups if len(group) > 1]

    @property
    def dashes(self) -> dict[str, str]:
        """Strokes by which curves that lie on one another take turns, the shortest first, which may end soon."""
        ends = {s.label: s.points[-1][0] for s in self.series}
        dots = {s.label for s in self.series if _lone(s.points)}
        return {
            label: f' stroke-dasharray="{DASH} {DASH * (len(group) - 1)}" stroke-dashoffset="{-DASH * i}"'
            for group in self.alike
            for i, label in enumerate(sorted(group, key=lambda label: ends[label]))
            if label not in dots
        }

    @property
    def table(self) -> list[list[str]]:
        """A few epochs in numbers: epoch, then each curve's value there or nearest before."""
        ends = sorted({round(x, 6) for s in self.series for x, _ in s.points if x == int(x)})
        shown = ends[:: max(1, math.ceil(len(ends) / 10))]
        return [[f"{x:g}", *(_at(s.points, x) for s in self.series)] for x in dict.fromkeys([*shown, *ends[-1:]])]


def thinned(points: Iterable[tuple[float, float]]) -> Points:
    """At most `POINTS` points: the means of equally many neighbours, at the last one's place; a lone one as a dot."""
    points = list(points)
    points = points * 2 if len(points) == 1 else points
    size = math.ceil(len(points) / POINTS)
    if size <= 1:
        return points
    chunks = [points[i : i + size] for i in range(0, len(points), size)]
    return [(chunk[-1][0], math.fsum(y for _, y in chunk) / len(chunk)) for chunk in chunks]


def bars(values: Sequence[Bar], threshold: float) -> str:
    """Bars of decreasing height with a line at a threshold, each level in its colour; what lies below it is faint."""
    view = (0.0, float(len(values)), 0.0, max(max((bar.value for bar in values), default=1.0), threshold) * 1.08)
    wide = WIDE / max(1, len(values))
    marks, room = [_grid(view, across=False)], DIGIT * max((len(bar.label) - 1 for bar in values), default=0)
    for i, (label, value, level) in enumerate(values):
        x, y = LEFT + wide * i, _y(value, view)
        of, colour = (f" of level {level}", (level - 1) % COLOURS) if level else ("", 0)
        title = f"<title>{escape(label)}{of}: {value:.3g} nats</title>"
        shape = f'x="{x + wide * 0.1:.1f}" y="{y:.1f}" width="{wide * 0.8:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
        marks.append(f'<rect class="bar c{colour}{" faint" * (value < threshold)}" {shape}>{title}</rect>')
        if wide >= room:
            place = f'x="{x + wide / 2:.1f}" y="{HEIGHT - BOTTOM + 15}"'
            marks.append(f'<text {place} text-anchor="middle">{escape(label.removeprefix("z"))}</text>')
    line = _y(threshold, view)
    marks.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line:.1f}" y2="{line:.1f}"/>')
    marks.append(_axis("latent dimensions, the largest KL first"))
    told = [f"{bar.label}{f' of level {bar.level}' if bar.level else ''} {bar.value:.2f}" for bar in values[:3]]
    top, over = ", ".join(told), sum(bar.value >= threshold for bar in values)
    alt = f"KL of each latent dimension in nats: {top} first; {over} of {len(values)} above {threshold} nats."
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">{"".join(marks)}</svg>'


def _view(points: Points) -> tuple[float, float, float, float]:
    """What is first seen: all epochs, and the values but for a beginning that would flatten the rest."""
    if not points:
        return 0.0, 1.0, 0.0, 1.0
    xs, ys = [x for x, _ in points], sorted(y for _, y in points)
    low, high = ys[0], ys[-1]
    common = ys[max(0, math.ceil(len(ys) * (1 - OUTLIERS)) - 1)]
    if high - low > 1.6 * (common - low) > 0:
        high = common + 0.15 * (common - low)
    pad = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    first = 0.0 if min(xs) < 1 else min(xs)
    last = max(xs)
    return (
        first,
        last if last > first else first + 1,
        min(low, max(0.0, low - pad)) if low >= 0 else low - pad,
        high + pad,
    )


def _x(x: float, view: Sequence[float]) -> float:
    return LEFT + (x - view[0]) / (view[1] - view[0]) * WIDE


def _y(y: float, view: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (y - view[2]) / (view[3] - view[2]) * TALL


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two ends."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _grid(view: Sequence[float], across: bool = True) -> str:
    marks = []
    for y in _ticks(view[2], view[3], 5):
        at = _y(y, view)
        marks.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        marks.append(f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{_tick(y)}</text>')
    for x in _ticks(view[0], view[1], 6) if across else ():
        marks.append(f'<text x="{_x(x, view):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{_tick(x)}</text>')
    return f'<g class="grid">{"".join(marks)}</g>'


def _axis(text: str) -> str:
    return f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{text}</text>'


def _tick(value: float) -> str:
    """As the script writes it: 1,200 or 0.25, with a true minus."""
    return f"{value:,.10g}".replace("-", "−")


def _best(epoch: float | None, view: Sequence[float]) -> str:
    if epoch is None:
        return ""
    at = _x(epoch, view) - LEFT
    return f'<line class="mark" data-epoch="{epoch:g}" x1="{at:.1f}" x2="{at:.1f}" y2="{TALL}"/>'


def _same(one: Points, other: Points, within: float) -> bool:
    """Whether two curves are one wherever both are drawn."""
    (x, y), (at, value) = np.array(one).T, np.array(other).T
    both = np.array([e for e in np.union1d(x, at) if max(x[0], at[0]) <= e <= min(x[-1], at[-1])])
    return len(both) > 0 and bool(np.all(np.abs(np.interp(both, x, y) - np.interp(both, at, value)) <= within))


def _lone(points: Points) -> bool:
    """Whether a curve is one point, which a stroke as wide as a dot shows."""
    return len({x for x, _ in points}) == 1


def _place(point: tuple[float, float]) -> str:
    return f"{round(point[0], 4):g},{point[1]:.6g}"


def _at(points: Points, x: float) -> str:
    before = [value for at, value in points if at <= x + 1e-6]
    return typeset(before[-1]) if before else "–"
