"""Metrics applied to what is judged: a model with its images, or images alone; each number with its protocol."""

import inspect
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vaelab.data.source import Dataset, Split
from vaelab.errors import Problems, UsageError, VaelabError
from vaelab.evaluation.images import as_stored
from vaelab.io.places import Directory, also_in
from vaelab.metrics.names import metric_of, quick, stored, unknown
from vaelab.model import VAE
from vaelab.recipe.begin import versions
from vaelab.recipe.sections import Evaluate
from vaelab.registry import hint, names, part
from vaelab.registry.schema import build, check_part, defaults, options, parse
from vaelab.samplers.drawing import images, refuse_blind
from vaelab.training.options import Best

SPLITS = ("train", "valid", "test")
Entry = dict[str, Any]  # of one metric in metrics.json


def draw(asked: Evaluate, model: VAE, data: Dataset, count: int) -> tuple[Tensor, Entry]:
    """Samples [n, C, H, W] as files would hold them, `count` unless another number is asked for, and their protocol."""
    n, pixels = asked.n or count, asked.pixels or ("sample" if data.binary else "mean")
    latents = build("sampler", asked.sampler, "sampler", model=model, split=data.as_seen())
    refuse_blind(model, latents)
    labels = None
    if model.classes and data.train.labels is not None:  # as often as among the training images
        generator = torch.Generator().manual_seed(asked.seed)
        labels = data.train.labels[torch.randint(len(data.train), (n,), generator=generator)]
    protocol = {"fakes": n, "sampler": asked.sampler.as_mapping(), "pixels": pixels, "fakes_seed": asked.seed}
    return as_stored(images(model, latents, n, asked.seed, pixels, labels), model.scale), protocol


@dataclass(frozen=True, kw_only=True)
class Target:
    """A model, or images made elsewhere, beside the split of a set that it is judged on."""

    data: Dataset
    split: str
    device: torch.device
    data_dir: Directory = None  # where weights of extractors are looked for, too
    model: VAE | None = None
    asked: Evaluate = Evaluate(metrics=())  # of the samples that metrics compare with real images
    made: Tensor | None = None  # [n, C, H, W], of the set's type and scale, where there is no model

    @property
    def images(self) -> Split:
        """The split."""
        return getattr(self.data, self.split)

    @cached_property
    def _fakes(self) -> tuple[Tensor, Entry]:
        if self.model is None:
            assert self.made is not None
            return self.made, {"fakes": len(self.made)}
        return draw(self.asked, self.model, self.data, len(self.images))

    def asks(self, metric: str) -> Iterable[str]:
        """The names of what a metric is about."""
        return inspect.signature(part("metric", metric)).parameters

    def supply(self, metric: str) -> tuple[dict[str, Any], Entry]:
        """What a metric asks for, and the protocol of it; UsageError where this target has no such thing."""
        wanted = self.asks(metric)
        if "model" in wanted and self.model is None:
            raise UsageError("it is about a model, and there are only images")
        known = {"model": self.model, "data": self.data, "split": self.images, "device": self.device}
        if "fake" not in wanted:
            return known, {}
        fake, protocol = self._fakes
        return known | {"fake": fake}, protocol


def specs(
    metrics: str | Iterable[str] | None, given: Mapping[str, Any], split: str = "test"
) -> tuple[dict[str, Entry], Evaluate]:
    """The chosen metrics with their options, and what is asked of the draws; UsageError lists all that is wrong.

    A metric may be named by a number that it yields, "elbo" for likelihood; several in one text, with commas between.
    `given` holds options by metric, {"frechet": {"pca_dim": 256}}, options of all metrics that take them,
    {"extractor": "pixels", "seed": 1}, and those of the draws.
    """
    drawn = {k: given[k] for k in ("n", "sampler", "pixels", "seed") if given.get(k) is not None}
    given = {k: v for k, v in given.items() if k not in ("n", "sampler", "pixels")}
    asked = quick() if metrics is None else metrics.split(",") if isinstance(metrics, str) else metrics
    chosen = list(dict.fromkeys(metric_of(name.strip()) for name in asked))
    known = {name: options(part("metric", name)) for name in chosen if name in names("metric")}
    shared = {k: v for k, v in given.items() if k not in names("metric")}
    problems = _misplaced(given, shared, known, chosen)
    given = {k: v for k, v in given.items() if k not in names("metric") or isinstance(v, Mapping)}
    if split not in SPLITS:
        problems.append(f"unknown split {split!r}; {hint(split, list(SPLITS))}")
    drawn = parse(Evaluate, {"metrics": [], **drawn}, "evaluate", problems)
    found = {}
    for name in chosen:
        common = {k: v for k, v in shared.items() if k in known.get(name, {})}
        found[name] = {"kind": name, **common, **given.get(name, {})}
        problems += check_part("metric", found[name], name) if name in known else [unknown(name)]
    if problems:
        raise Problems(problems, "this evaluation has these problems")
    return found, Evaluate(**drawn)


def measure(
    chosen: Mapping[str, Entry], target: Target, announce: Callable[[str], None] = lambda name: None
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Entries of metrics.json by metric, and by metric why others cannot be computed."""
    entries, unavailable = {}, {}
    for number, (name, spec) in enumerate(chosen.items(), 1):
        announce(f"{name}, {number} of {len(chosen)}")
        began = time.perf_counter()
        try:
            with also_in(target.data_dir):
                supplied, drawn = target.supply(name)
                found = build("metric", spec, name, **supplied)
        except VaelabError as reason:
            unavailable[name] = str(reason)
            continue
        protocol = {"split": target.split, "images": len(target.images)} | drawn
        entries[name] = finite(
            {
                "values": found.values,
                "about": stored(name, found.values),
                "intervals": found.intervals,
                "protocol": protocol | defaults(part("metric", name)) | spec | found.protocol,
                "curves": found.curves,
                "notes": found.notes,
                "versions": versions(),
                "seconds": round(time.perf_counter() - began, 2),
            }
        )
    return entries, unavailable


@dataclass(frozen=True)
class ValidationMetrics:
    """Metrics of the validation images while training, every so many epochs; called with an epoch and a model."""

    target: Target
    last: int  # epoch, which is measured in any case

    def __call__(self, epoch: int, model: VAE) -> dict[str, float]:
        """The numbers by name; none in an epoch that is not due."""
        due = epoch % self.target.asked.every == 0 or epoch == self.last
        return values_of(self._measured(model)[0]) if due else {}

    def _measured(self, model: VAE) -> tuple[dict[str, Entry], dict[str, str]]:
        chosen = {metric.kind: metric.as_mapping() for metric in self.target.asked.metrics}
        return measure(chosen, replace(self.target, model=model))

    def rehearse(self, model: VAE, best: Best) -> None:
        """Measure once before the training: UsageError for what cannot be computed, or if `best` is not among it."""
        entries, unavailable = self._measured(model.to(self.target.device).eval())
        problems = [f"evaluate: {name}: {reason}" for name, reason in unavailable.items()]
        known = ["loss", "reconstruction", "kl", *values_of(entries)]
        if best.metric not in known and not problems:
            problems = [f"best.metric: {best.metric!r} is not measured while training; {hint(best.metric, known)}"]
        if problems:
            raise Problems(problems, "what the recipe measures while training has these problems")


def values_of(entries: Mapping[str, Entry]) -> dict[str, float]:
    """All finite numbers by name."""
    return {k: v for entry in entries.values() for k, v in entry["values"].items() if v is not None}


def finite(value: Any) -> Any:
    """The same data with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _misplaced(
    given: Mapping[str, Any], shared: Mapping[str, Any], known: Mapping[str, Any], chosen: list[str]
) -> list[str]:
    """Options that no chosen metric has, of metrics that are not chosen, and what is no set of options."""
    problems = []
    for key in shared:
        if not any(key in o for o in known.values()) and key != "seed":
            takers = ", ".join(name for name in names("metric") if key in options(part("metric", name)))
            problems.append(f"{key}: no option of {', '.join(chosen)}; it is one of {takers or 'no metric'}")
    for key in (key for key in given if key in names("metric")):
        if key not in chosen:
            problems.append(f"{key}: options of a metric that is not among {', '.join(chosen)}")
        elif not isinstance(given[key], Mapping):
            problems.append(f"{key}: expected options like {key}.seed=1, got {given[key]!r}")
    return problems
