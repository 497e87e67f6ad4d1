"""All that a report is made of: a run's folder, its numbers and what they are worth, the scale that it learned."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from vaelab.folder import Folder, finite, kind_of
from vaelab.report.charts import Bar
from vaelab.report.diagnosis import Evidence
from vaelab.stored import read_report

SPLITS = {"test": "metrics.json", "valid": "metrics-valid.json", "train": "metrics-train.json"}


class Entry(BaseModel):
    """A metric in metrics.json, as far as a page shows it."""

    values: dict[str, int | float | None]
    protocol: dict[str, Any]
    notes: list[str]
    intervals: dict[str, tuple[float, float] | None] = {}
    curves: dict[str, list[tuple[float | None, float | None]]] = {}


class Verdict(BaseModel, extra="allow"):
    """What a recipe expected, beside what was reached."""

    name: str
    reached: float
    met: bool


class Report(BaseModel):
    """A metrics.json; older ones lack some parts."""

    metrics: dict[str, Entry]
    model: str | None = None
    data: Any = None
    unavailable: dict[str, str] = {}
    expected: list[Verdict] = []
    notes: list[str] = []


@dataclass(frozen=True)
class Told:
    """A run under the name that tells it from others, its reports by split, and what is wrong with either."""

    name: str
    folder: Folder
    reports: Mapping[str, Mapping[str, Any]]
    problems: list[str]

    @classmethod
    def read(cls, folder: Folder, name: str) -> "Told":
        """All of a run folder."""
        reports, problems, weights = {}, list(folder.problems), _weights(folder.path / "model.safetensors")
        for split, file in SPLITS.items():
            if not (folder.path / file).is_file():
                continue
            found = _whole(read_report(folder.path / file))
            if not found:
                problems.append(f"{file} is damaged or empty; measure again: vaelab evaluate {folder.path}")
                continue
            reports[split] = found
            if found.get("model") not in (None, weights):
                again = f"measure again: vaelab evaluate {folder.path}"
                problems.append(f"{file} is of earlier weights than those in the folder; {again}")
        return cls(name, folder, reports, problems)

    @property
    def report(self) -> Mapping[str, Any]:
        """The numbers of test images, else of the other splits; empty where nothing was measured."""
        return next(iter(self.reports.values()), {})

    @property
    def values(self) -> dict[str, Any]:
        """Its numbers by name."""
        entries = self.report.get("metrics", {}).values()
        return {k: v for entry in entries for k, v in entry["values"].items() if v is not None}

    @property
    def kl_per_dimension(self) -> list[Bar]:
        """`z7`, its KL in nats and its level, the largest first; nothing where that was not measured."""
        curve = self.report.get("metrics", {}).get("active_units", {}).get("curves", {}).get("kl_per_dimension", [])
        levels = [level for level, size in enumerate(self.folder.levels, 1) for _ in range(size)]
        known = [(int(d), kl) for d, kl in curve if d is not None and kl is not None]
        found = [Bar(f"z{d}", kl, levels[d - 1] if 0 < d <= len(levels) else None) for d, kl in known]
        return sorted(found, key=lambda bar: -bar.value)

    @cached_property
    def evidence(self) -> Evidence:
        """What the diagnosis looks at; of a growing model its last stage, told by the rows' resolution."""
        run = self.folder
        reason = run.state.reason if run.state.word == "failed" else ""
        more = (self.values, run.options, _scale(run), reason, run.state.word)
        size = next((finite(row, "resolution") for row in reversed(run.train or run.steps)), None)
        if size is None:
            return Evidence(run.train, run.valid, run.steps, *more)
        train, steps = ([row for row in rows if finite(row, "resolution") == size] for rows in (run.train, run.steps))
        earlier = [row for row in (*run.train, *run.steps) if finite(row, "resolution") != size]
        epochs = {row["epoch"] for row in train}  # for rows of validation do not tell their stage
        valid = [row for row in run.valid if row["epoch"] in epochs]
        return Evidence(train, valid, steps, *more, earlier)

    @property
    def judged(self) -> str:
        """`the last stage (16 pixels, epochs 13–24)` where the diagnosis looks at no more, else ""."""
        rows = self.evidence.train
        if not self.evidence.earlier or not rows:
            return ""
        first, last = rows[0]["epoch"], rows[-1]["epoch"]
        epochs = f"epochs {first:g}–{last:g}" if last > first else f"epoch {first:g}"
        return f"the last stage ({rows[0]['resolution']:g} pixels, {epochs})"


def _whole(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report with all its parts; empty where they are not what they should be."""
    try:
        found = Report.model_validate(report)
    except ValidationError:
        return {}
    return found.model_dump() if found.metrics else {}


def _weights(path: Path) -> str | None:
    """The digits by which metrics.json knows the weights that it is of."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        return None


def _scale(run: Folder) -> float | None:
    """A learned σ or b of the likelihood, None where it is fixed or there is none."""
    kind, options = run.part("likelihood")
    base = options.get("base", "") if kind == "perceptual" else dict(options) | {"kind": kind}
    kind, options = kind_of(base), base if isinstance(base, Mapping) else {}
    learned = {"normal": options.get("fit", "fixed") != "fixed", "laplace": options.get("learnable", True)}
    if not learned.get(kind):
        return None
    try:
        with safe_open(run.path / "model.safetensors", "np") as file:
            names = [k for k in file.keys() if k.startswith("likelihood.") and k.endswith(("log_sigma", "log_scale"))]  # noqa: SIM118
            return math.exp(float(file.get_tensor(names[0]))) if names else None
    except (OSError, SafetensorError, ValueError, TypeError, OverflowError, json.JSONDecodeError):
        return None
