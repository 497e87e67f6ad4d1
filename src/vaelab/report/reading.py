"""All that a report is made of: a run's folder, its numbers and what they are worth, the scale that it learned."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from vaelab.folder import Folder, kind_of
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
    def kl_per_dimension(self) -> list[tuple[str, float]]:
        """`z7` and its KL in nats, the largest first; nothing where that was not measured."""
        curve = self.report.get("metrics", {}).get("active_units", {}).get("curves", {}).get("kl_per_dimension", [])
        known = [(f"z{d:g}", kl) for d, kl in curve if d is not None and kl is not None]
        return sorted(known, key=lambda pair: -pair[1])

    @property
    def evidence(self) -> Evidence:
        """What the diagnosis looks at."""
        run = self.folder
        scale = _scale(run)
        state = run.state.reason if run.state.word == "failed" else ""
        return Evidence(run.train, run.valid, run.steps, self.values, run.options, scale, state)


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
