"""The results of a run on one split, as in `metrics.json`: numbers of each metric, intervals, protocol and notes."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vaelab.io.formatting import counted

FILES = {"test": "metrics.json", "valid": "metrics-valid.json", "train": "metrics-train.json"}  # by split
SPLITS = {"valid": "validation", "train": "training"}  # in words
Curve = list[tuple[float | None, float | None]]


class MetricResult(BaseModel, extra="allow", allow_inf_nan=False):
    """The numbers that one metric yields, and how they were measured."""

    values: dict[str, int | float | None]
    intervals: dict[str, tuple[float, float] | None] = {}
    protocol: dict[str, Any]
    curves: dict[str, Curve] = {}
    notes: list[str] = []
    about: dict[str, dict[str, Any]] = {}  # unit, title and direction of each value

    def count(self, key: str) -> int | None:
        """A count in the protocol, such as `images`; None where it does not tell."""
        found = self.protocol.get(key)
        return found if isinstance(found, int) else None

    def extractor(self, key: str = "extractor") -> Mapping[str, Any] | None:
        """The name of the features and the hash of their weights, where they are known."""
        found = self.protocol.get(key)
        return found if isinstance(found, Mapping) else None


class Verdict(BaseModel, extra="allow", allow_inf_nan=False):
    """What a recipe expects of a number, beside what was reached; of a recipe that was altered there is none."""

    name: str
    reached: int | float
    met: bool | None
    value: int | float | None = None
    tolerance: int | float | None = None
    at_least: int | float | None = None
    at_most: int | float | None = None
    altered: Any = None
    epoch: int | None = None

    def text(self, name: str, write: Callable[[Any], str]) -> str:
        """`reached: elbo −47.36 (at least −50)`; of an altered recipe both, with the length of each, and no verdict."""
        words = {"value": "", "tolerance": "± ", "at_least": "at least ", "at_most": "at most "}
        known = {key: bound for key in words if (bound := getattr(self, key)) is not None}
        bar = " ".join(f"{words[key]}{write(bound)}" for key, bound in known.items())
        reached, altered = write(self.reached), self.altered
        if not isinstance(altered, Mapping):
            return f"{'reached' if self.met else 'MISSED'}: {name} {reached} ({bar})"
        own = next((f" after {altered[k]:,} {k}" for k in ("epochs", "steps") if isinstance(altered.get(k), int)), "")
        by, after = ", ".join(map(str, altered.get("by", []))), counted(self.epoch or 0, "epoch")
        return f"no verdict: {name}: expected {bar}{own}; here {reached} after {after} ({by})"


class Results(BaseModel, extra="allow", allow_inf_nan=False):
    """A metrics.json; older ones lack some parts."""

    run: str = ""
    images_folder: str = ""  # what was measured in place of a run
    data: str | None = None
    digest: str | None = None  # of the images
    model: str | None = None  # hash of the weights
    split: str = ""
    images: int | None = None
    metrics: dict[str, MetricResult]
    unavailable: dict[str, str] = {}
    expected: list[Verdict] = []
    notes: list[str] = []

    @classmethod
    def read(cls, path: Path) -> "Results | None":
        """Those in a file; None where it is missing or holds anything else."""
        try:
            return cls.model_validate_json(path.read_bytes(), strict=True)
        except (OSError, ValueError):  # ValidationError is a ValueError
            return None

    @property
    def title(self) -> str:
        """The name of what was measured."""
        return self.run or self.images_folder

    def only(self, metrics: Collection[str] | None) -> "Results":
        """Those of some metrics, or of all."""
        if metrics is None:
            return self
        kept, missing = ({k: v for k, v in of.items() if k in metrics} for of in (self.metrics, self.unavailable))
        return self.model_copy(update={"metrics": kept, "unavailable": missing})

    @property
    def values(self) -> dict[str, int | float]:
        """All numbers by name."""
        found = (pair for metric in self.metrics.values() for pair in metric.values.items())
        return {name: value for name, value in found if value is not None}

    def curve(self, metric: str, name: str) -> list[tuple[float, float]]:
        """The points of a metric's curve that are known; none where that was not measured."""
        points = self.metrics[metric].curves.get(name, []) if metric in self.metrics else []
        return [(x, y) for x, y in points if x is not None and y is not None]

    @property
    def counted(self) -> str:
        """`10,000 test images`; of numbers of fewer, `100 of 10,000 test images` or `10,000 …, some numbers of 100`."""
        of = f"{SPLITS.get(self.split, self.split) or 'test'} image"
        counts = sorted({count for found in self.metrics.values() if (count := found.count("images")) is not None})
        whole = f"{of}s" if self.images is None else counted(self.images, of)
        fewer = [f"{count:,}" for count in counts if count != self.images]
        if not fewer:
            return whole
        return f"{fewer[0]} of {whole}" if len(counts) == 1 else f"{whole}, some numbers of {' and '.join(fewer)}"

    @property
    def remarks(self) -> list[str]:
        """Notes of the metrics, each once."""
        return sorted({note for metric in self.metrics.values() for note in metric.notes})
