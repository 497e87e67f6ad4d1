"""Metrics and their numbers by name: what a number is, which metric yields it, and what other programs call it."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from vaelab.errors import UnknownPart
from vaelab.metrics.measurement import STORED, About, Value
from vaelab.registry import about, hint, names
from vaelab.runs.results import MetricResult


class Number(NamedTuple):
    """A number in an entry of metrics.json, with its 95 % interval and the declaration of it."""

    name: str
    value: float | None
    interval: tuple[float, float] | None
    about: Value


def about_metric(metric: str) -> About:
    """The declaration of a metric; of one that has none its name."""
    found = about("metric", metric)
    return found if isinstance(found, About) else About(_words(metric), {})


def about_number(metric: str, name: str, kept: Mapping[str, Any] = MappingProxyType({})) -> Value:
    """The declaration of a metric's number; of one that has none what was `kept` with it, or its name."""
    title, better = str(kept.get("title") or _words(name)), kept.get("better")
    known = better if isinstance(better, str | int | float) else None
    return _declared(metric, name) or Value(title, str(kept.get("unit", "")), known)  # pyright: ignore[reportArgumentType]


def numbers(metric: str, measured: MetricResult) -> list[Number]:
    """The numbers of a metric but for standard errors, which the intervals say already."""
    return [
        Number(name, value, measured.intervals.get(name), about_number(metric, name, measured.about.get(name, {})))
        for name, value in measured.values.items()
        if not name.endswith("_error")
    ]


def stored(metric: str, values: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What metrics.json says of an entry's numbers, for readers that lack the metric."""
    declared = {name: found for name in values if (found := _declared(metric, name))}
    return {name: {key: getattr(found, key) for key in STORED} for name, found in declared.items()}


def quick() -> list[str]:
    """The metrics that are measured unless others are asked for, those with main numbers first."""

    def place(metric: str) -> float:
        return min((value.rank for value in about_metric(metric).values.values() if value.rank), default=math.inf)

    return sorted((metric for metric in names("metric") if about_metric(metric).quick), key=place)


def metric_of(name: str) -> str:
    """The metric of that name, or that yields the number of that name, as tables have it; else the name itself."""
    plain = name.removesuffix("_error")
    found = [plain] if plain in names("metric") else [metric for metric in names("metric") if _declared(metric, plain)]
    return found[0] if found else name


def unknown(name: str) -> str:
    """What to say of a name that is neither a metric's nor a number's."""
    known = [about_metric(metric) for metric in names("metric")]
    elsewhere = {word: text for metric in known for word, text in metric.elsewhere.items()}
    close = difflib.get_close_matches(name, [number for metric in known for number in metric.values], n=1)
    near = elsewhere.get(name.lower()) or hint(name, [*names("metric"), *close])
    return UnknownPart(f"unknown metric {name!r}; {near}")


def _declared(metric: str, name: str) -> Value | None:
    values, which = about_metric(metric).values, re.search(r"\d*$", name)
    found = values.get(name) or values.get(f"{name[: which.start()]}*" if which else "")
    return found and which and replace(found, title=found.title.replace("*", which[0]))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
