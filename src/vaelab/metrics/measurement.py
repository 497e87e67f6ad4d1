"""Numbers of a metric: what they are, as the metric declares it, and what one measurement gives."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from vaelab.metrics.intervals import ENOUGH, OVER_IMAGES, Interval, column_interval, too_few

STORED = ("title", "unit", "better")  # of a declaration, beside a number in metrics.json

Better = Literal["higher", "lower"] | float | None  # a number where values near to it are better


@dataclass(frozen=True)
class Value:
    """Declaration of a number: its title and unit, which values are better, and whether it is one of the main ones."""

    title: str
    unit: str = ""
    better: Better = None
    meaning: str = ""  # in four words at most, of one of the main numbers
    rank: int = 0  # its place among the main numbers, from 1
    of: str = ""  # the number of the same metric out of which it counts, as in `17 of 32`
    tile: str = ""  # its short title where a report shows it above all tables
    scores: Mapping[str, str] | None = None  # where it depends on what p(x | z) scores: which of these are as others

    @property
    def mark(self) -> str:
        """Unit and direction, `nats ↑`."""
        return f"{self.unit} {self.arrow}".strip()

    @property
    def arrow(self) -> str:
        """Where better values lie: ↑, ↓ or, where they lie near a number, nothing."""
        return {"higher": "↑", "lower": "↓"}.get(str(self.better), "")

    def loss(self, value: float) -> float:
        """What is least at the best value; NaN where no value is better than another."""
        if isinstance(self.better, int | float):
            return abs(value - self.better)
        return {"higher": -value, "lower": value}.get(self.better or "", math.nan)


@dataclass(frozen=True)
class About:
    """Declaration of a metric: its title and its numbers by name, `kl_*` for kl_1, kl_2, … with * in the title, too.

        @register("metric", "contrast", About("Contrast", {"contrast": Value("Contrast", "grey levels", "higher")}))
        def contrast(split: Split, fake: Tensor) -> Measurement: ...

    One that is `quick` is measured unless others are asked for. `elsewhere` tells of names that other programs use.
    """

    title: str
    values: Mapping[str, Value]
    quick: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """Numbers by name; beside them, where there are any, 95 % intervals, curves [(x, y), …] and remarks in words.

    `protocol` holds what the metric's options do not say already: counts, the extractor and its hash, the estimator.
    """

    values: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def over_images(
        cls, columns: Mapping[str, Tensor], protocol: dict[str, Any] | None = None, errors: Collection[str] = ()
    ) -> "Measurement":
        """Means of numbers or hits per image [N], with intervals, or a note where images are too few for these.

        Those named in `errors` have their standard errors beside them, `*_error`.
        """
        columns = {name: column.detach().cpu() for name, column in columns.items()}
        values = {name: column.double().mean().item() for name, column in columns.items()}
        for name in errors:
            if len(columns[name]) > 1:
                values[f"{name}_error"] = (columns[name].std() / math.sqrt(len(columns[name]))).item()
        intervals = {name: column_interval(column) for name, column in columns.items() if len(column) >= ENOUGH}
        fewest = min(map(len, columns.values()))
        notes = [] if fewest >= ENOUGH else [too_few(fewest, ENOUGH)]
        return cls(values, intervals, {**(protocol or {}), "interval": OVER_IMAGES}, notes=notes)
