"""All that a report is made of: a run's folder, its numbers and what they are worth, the scale that it learned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from safetensors import SafetensorError, safe_open

from vaelab.io.files import parse_json
from vaelab.io.formatting import typed
from vaelab.metrics.active_units import NATS
from vaelab.recipe.restore import read_report
from vaelab.registry import names, part
from vaelab.registry.schema import defaults
from vaelab.report.charts import Bar
from vaelab.report.evidence import Evidence, Pixels
from vaelab.runs.folder import NO_LIKELIHOODS, Folder, finite, kind_of
from vaelab.runs.state import is_outdated

SPLITS = {"test": "metrics.json", "valid": "metrics-valid.json", "train": "metrics-train.json"}


@dataclass(frozen=True)
class Told:
    """A run under the name that tells it from others, its reports by split, and what is wrong with either."""

    name: str
    folder: Folder
    reports: Mapping[str, Mapping[str, Any]]
    problems: list[str]
    outdated: frozenset[str] = frozenset()  # splits whose numbers are of earlier weights

    @classmethod
    def read(cls, folder: Folder, name: str) -> "Told":
        """All of a run folder."""
        reports, problems, outdated = {}, list(folder.problems), set()
        for split, file in SPLITS.items():
            if not (folder.path / file).is_file():
                continue
            found = read_report(folder.path / file)
            if not found.get("metrics"):
                problems.append(f"{file} is damaged or empty; measure again: vaelab evaluate {typed(folder.path)}")
                continue
            reports[split] = found
            if is_outdated(found, folder.path):
                outdated.add(split)
                again = f"measure again: vaelab evaluate {typed(folder.path)}"
                told = f"{file} is of earlier weights than those in the folder; {again}"
                problems += [] if folder.is_damaged else [told]  # which says why they differ
        return cls(name, folder, reports, problems, frozenset(outdated))

    @property
    def report(self) -> Mapping[str, Any]:
        """The numbers of test images, else of the other splits; empty where nothing was measured."""
        return next(iter(self.reports.values()), {})

    @property
    def current(self) -> tuple[str, Mapping[str, Any]]:
        """The first split whose numbers are of the weights in the folder, and its report; ("", {}) where none is."""
        return next(((split, found) for split, found in self.reports.items() if split not in self.outdated), ("", {}))

    @property
    def values(self) -> dict[str, Any]:
        """The numbers of its weights by name."""
        entries = self.current[1].get("metrics", {}).values()
        return {k: v for entry in entries for k, v in entry["values"].items() if v is not None}

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        """Those of these numbers, by metric."""
        return {name: entry["protocol"] for name, entry in self.current[1].get("metrics", {}).items()}

    @property
    def kl_per_dimension(self) -> list[Bar]:
        """`z7`, its KL in nats and its level, the largest first; nothing where that was not measured."""
        entry = self.current[1].get("metrics", {}).get("active_units", {})
        levels = [level for level, size in enumerate(self.folder.levels, 1) for _ in range(size)]
        curve = entry.get("curves", {}).get("kl_per_dimension", [])
        known = [(int(d), kl) for d, kl in curve if d is not None and kl is not None]
        found = [Bar(f"z{d}", kl, levels[d - 1] if 0 < d <= len(levels) else None) for d, kl in known]
        return sorted(found, key=lambda bar: -bar.value)

    @property
    def threshold(self) -> float:
        """Nats of KL from which a latent dimension counts as used."""
        return finite(self.protocols.get("active_units", {}), "nats") or NATS

    @cached_property
    def evidence(self) -> Evidence:
        """What the diagnosis looks at; of a growing model its last stage, told by the rows' resolution."""
        run = self.folder
        reason = run.state.reason if run.state.word == "failed" else ""
        known: dict[str, Any] = {"values": self.values, "protocols": self.protocols, "options": run.options}
        known |= {"reason": reason, "state": run.state.word, "diverged": run.state.diverged}
        known |= {"scale": _scale(run), "pixels": _pixels(run)}
        size = next((finite(row, "resolution") for row in reversed(run.train or run.steps)), None)
        if size is None:
            return Evidence(run.train, run.valid, run.steps, **known)
        train, steps = ([row for row in rows if finite(row, "resolution") == size] for rows in (run.train, run.steps))
        earlier = [row for row in (*run.train, *run.steps) if finite(row, "resolution") != size]
        epochs = {row["epoch"] for row in train}  # for rows of validation do not tell their stage
        valid = [row for row in run.valid if row["epoch"] in epochs]
        return Evidence(train, valid, steps, **known, earlier=earlier)

    @property
    def judged(self) -> str:
        """`the last stage (16 pixels, epochs 13–24)` where the diagnosis looks at no more, else ""."""
        rows = self.evidence.train
        if not self.evidence.earlier or not rows:
            return ""
        first, last = rows[0]["epoch"], rows[-1]["epoch"]
        epochs = f"epochs {first:g}–{last:g}" if last > first else f"epoch {first:g}"
        return f"the last stage ({rows[0]['resolution']:g} pixels, {epochs})"


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
    except (OSError, SafetensorError, ValueError, TypeError, OverflowError):
        return None


def _pixels(run: Folder) -> Pixels | None:
    """How its likelihood scores images; None where it is none, or the model file does not tell their shape."""
    kind, options = run.part("likelihood")
    if kind == "pixel":
        base = options.get("base", "bernoulli")
        kind, options = kind_of(base), base if isinstance(base, Mapping) else {}
    if kind in NO_LIKELIHOODS or kind not in names("likelihood"):
        return None
    try:
        with safe_open(run.path / "model.safetensors", "np") as file:
            count = math.prod(parse_json(file.metadata()["x_shape"]))
    except (OSError, SafetensorError, ValueError, TypeError, LookupError):
        return None
    thing = part("likelihood", kind)
    binary, discrete = (getattr(thing, name, False) for name in ("binary", "discrete"))
    return Pixels(count, 2 if binary else 256, not (binary or discrete), _least(kind, defaults(thing) | dict(options)))


def _least(kind: str, options: Mapping[str, Any]) -> float | None:
    """−log density at the mode, in nats per number, of a likelihood of fixed scale."""
    if kind == "normal" and options["fit"] == "fixed":
        return math.log(options["sigma"] * math.sqrt(2 * math.pi))
    return math.log(2 * options["scale"]) if kind == "laplace" and not options["learnable"] else None
