"""What a diagnosis is made from, and what it finds: facts on one run, and findings with their evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from vaelab.io.files import parse_json
from vaelab.registry import names, part
from vaelab.registry.schema import defaults
from vaelab.report.trends import FEW, last_gain, numbers
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Row, finite
from vaelab.runs.recipe import NO_LIKELIHOODS, kind_of

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


def evidence_of(run: RunFolder) -> Evidence:
    """What the diagnosis of a run looks at; of a growing model its last stage."""
    log, results = run.log.last_stage, run.current
    return Evidence(
        log.train,
        log.valid,
        log.steps,
        values=results.values if results else {},
        options=run.recipe.sections,
        scale=_scale(run),
        reason=run.state.reason if run.state.word == "failed" else "",
        state=run.state.word,
        diverged=run.state.diverged,
        earlier=log.earlier,
        protocols={name: found.protocol for name, found in results.metrics.items()} if results else {},
        pixels=pixels_of(run),
    )


def _scale(run: RunFolder) -> float | None:
    """A learned σ or b of the likelihood, None where it is fixed or there is none."""
    kind, options = run.recipe.part("likelihood")
    base = options.get("base", "") if kind == "perceptual" else dict(options) | {"kind": kind}
    kind, options = kind_of(base), base if isinstance(base, Mapping) else {}
    learned = {"normal": options.get("fit", "fixed") != "fixed", "laplace": options.get("learnable", True)}
    if not learned.get(kind):
        return None
    try:
        with safe_open(run.model_file, "np") as file:
            names = [k for k in file.keys() if k.startswith("likelihood.") and k.endswith(("log_sigma", "log_scale"))]  # noqa: SIM118
            return math.exp(float(file.get_tensor(names[0]))) if names else None
    except (OSError, SafetensorError, ValueError, TypeError, OverflowError):
        return None


def pixels_of(run: RunFolder) -> Pixels | None:
    """How its likelihood scores images; None where it is none, or the model file does not tell their shape."""
    kind, options = run.recipe.part("likelihood")
    if kind == "pixel":
        base = options.get("base", "bernoulli")
        kind, options = kind_of(base), base if isinstance(base, Mapping) else {}
    if kind in NO_LIKELIHOODS or kind not in names("likelihood"):
        return None
    try:
        with safe_open(run.model_file, "np") as file:
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
