"""The numbers of an evaluation in words: those seen first, and in short how each was measured."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from vaelab.io.formatting import counted, typeset
from vaelab.metrics.measurement import Value
from vaelab.metrics.names import about_number, metric_of, numbers
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import finite
from vaelab.runs.recipe import part_of
from vaelab.runs.results import SPLITS, MetricResult, Results


class Tile(NamedTuple):
    """A number that is seen first."""

    title: str
    value: str
    note: str


def tiles(run: RunFolder) -> list[Tile]:
    """The numbers that a reader looks for first: those of the best epoch, and of the metrics those declared as such."""
    found, best, results = [], run.log.best, run.current
    if best:
        how = f"nats per image, best epoch, {best['epoch']:g}"
        found.append(Tile(f"Validation {run.recipe.bound}", typeset(finite(best, "loss")), how))
        found.append(Tile("KL", typeset(finite(best, "kl")), "nats per validation image"))
    split = SPLITS.get(results.split, results.split).capitalize() if results else ""
    for metric, measured in results.metrics.items() if results else ():
        for _, value, _, about in numbers(metric, measured):
            if about.tile and value is not None:
                note = " · ".join(text for text in (about.unit or about.meaning, protocol_of(measured)) if text)
                found.append(Tile(*_seen(about, value, measured.values, split), note))
    return found


def _seen(about: Value, value: float, values: Mapping[str, Any], split: str) -> tuple[str, str]:
    """Title and text of a tile; a bound on log p(x) as the loss that it is beside the validation's."""
    if about.scores is not None:
        return f"{split} −{about.tile}", typeset(-value)
    return about.tile, f"{value} of {values[about.of]}" if about.of in values else typeset(value)


def title_of(name: str) -> str:
    """A number's name as people say it."""
    return about_number(metric_of(name), name).title


def remarks(results: Results) -> list[str]:
    """What could not be measured and why, what was expected, and what must be known of the numbers."""
    missing = [f"{name} was not measured: {reason}" for name, reason in results.unavailable.items()]
    verdicts = [verdict.text(title_of(verdict.name), typeset) for verdict in results.expected]
    told = [f"{text[:1].upper()}{text[1:]}" for text in verdicts]
    return [*missing, *told, *results.notes, *results.remarks]


def protocols(results: Results) -> str:
    """How each metric was measured, in full."""
    found = {name: metric.protocol for name, metric in results.metrics.items()}
    return json.dumps(found, indent=2, ensure_ascii=False)


def ends(interval: tuple[float, float] | None) -> str:
    """`72.10 … 74.60`, "" for none."""
    return f"{typeset(interval[0])} … {typeset(interval[1])}" if interval else ""


def protocol_of(found: MetricResult) -> str:
    """`10,000 images · 100 draws · 10,000 samples of the prior · features of classifier 91e7 · k = 5`."""
    counts = {thing: count for thing in ("images", "samples", "fakes") if (count := found.count(thing)) is not None}
    said = [counted(counts["images"], "image")] if "images" in counts else []
    said += [counted(counts["samples"], "draw")] if "samples" in counts else []
    if "fakes" in counts:
        kind = part_of(found.protocol.get("sampler", "prior")).kind
        said.append(f"{counts['fakes']:,} samples of the {kind}".replace("the gmm", "a fitted mixture"))
    for network in filter(None, map(found.extractor, ("extractor", "network"))):
        said.append(f"features of {network.get('name', '?')} {str(network.get('hash', ''))[:4]}".rstrip())
    said += [f"{key} = {found.protocol[key]}" for key in ("k", "pca_dim", "temperatures") if found.protocol.get(key)]
    return " · ".join(said)
