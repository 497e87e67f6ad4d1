"""What a diagnosis is made from, and what it finds: facts on one run, and findings with their evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vaelab.report.trends import FEW, last_gain, numbers
from vaelab.runs.folder import finite, kind_of
from vaelab.runs.log import Row

LEVELS = {"good": "All well", "note": "Note", "warning": "Warning", "bad": "Problem"}  # from least to gravest
CUT = ("stopped", "killed")  # states of a run that can be resumed
MIN_STEPS = 200  # in which Adam moves a weight by 0.2 at most at a learning rate of 0.001


class Finding(NamedTuple):
    """One thing that a reader should know; `metric` has measured it and says the same in a note of its own."""

    kind: str
    level: str  # one of LEVELS
    sentence: str
    evidence: str
    remedy: str = ""
    metric: str = ""

    @property
    def text(self) -> str:
        """All of it in one line, for a terminal."""
        advice = f" Try {self.remedy}." if self.remedy else ""
        return f"{LEVELS[self.level]}: {self.sentence} {self.evidence}{advice}"


class Pixels(NamedTuple):
    """How a likelihood scores an image: `size` numbers of `levels` values each, as a probability or as a density.

    A density of fixed scale has a `least` −log p, in nats per number, whatever was learned.
    """

    size: int
    levels: int
    is_density: bool
    least: float | None = None

    def bits(self, nats: float) -> float:
        """Per dimension, of nats per image; a density of [0, 1] counts times a step between two levels."""
        return nats / self.size / math.log(2) + (self.uniform if self.is_density else 0.0)

    @property
    def uniform(self) -> float:
        """Bits per dimension where all values are equally likely."""
        return math.log2(self.levels)


@dataclass(frozen=True)
class Evidence:
    """What a diagnosis is made from: rows of the log (of the last stage where it grew), numbers, recipe, σ, end."""

    train: Sequence[Row]  # epochs, as trained
    valid: Sequence[Row]  # epochs, at β = 1
    steps: Sequence[Row] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    scale: float | None = None  # a learned σ or b of the likelihood, on the [0, 1] scale
    reason: str = ""  # why the run ended, where it failed
    state: str = "done"  # as in State
    diverged: tuple[str, int] | None = None  # likewise
    earlier: Sequence[Row] = ()  # of earlier stages
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of the values, by metric
    pixels: Pixels | None = None  # None where the model scores no images

    @property
    def beta(self) -> float | None:
        """The weight of the KL that was applied last."""
        rows = self.train or self.steps
        return finite(rows[-1], "beta") if rows else None

    def last(self, key: str) -> float | None:
        """Of the last epoch's validation images."""
        return finite(self.valid[-1], key) if self.valid else None

    @property
    def taken(self) -> int:
        """Steps, of the last stage."""
        ends = [max(numbers(rows, "step"), default=0.0) for rows in (self.earlier, [*self.steps, *self.train])]
        return int(max(0.0, ends[1] - ends[0]))

    @property
    def is_early(self) -> bool:
        """Whether steps or epochs are too few for a trend, or few of which the last still gained.

        Without a row none can tell.
        """
        unknown = not (self.valid or self.train or self.steps) and self.state not in ("running", *CUT)
        few = len(self.valid) < FEW or last_gain(self.valid) > 0 or self.taken < MIN_STEPS
        return not unknown and few

    @property
    def longer(self) -> str:
        """How to train on; nothing for a run that does."""
        if self.state == "running":
            return ""
        return "resuming it, which carries on to the recipe's end" if self.state in CUT else "more train.epochs"

    @property
    def is_weighted(self) -> bool:
        """Whether the KL counts by now; early in a warm-up, or under a capacity, a small one is no collapse."""
        objective = self.options.get("objective", {})
        return self.beta is None or self.beta > 0 or kind_of(objective) != "elbo"
