"""The table of a comparison: a row for each number, and a row of its own wherever numbers do not compare."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vaelab.evaluation.columns import Column
from vaelab.metrics.measurement import Value
from vaelab.metrics.names import Number, numbers
from vaelab.registry import names, part
from vaelab.registry.schema import options
from vaelab.runs.folder import RunFolder

# Of a protocol, what decides whether two numbers compare; beside it, the options of the metric but for these.
DECISIVE = ("split", "images", "fakes", "sampler", "pixels", "extractor", "network", "estimator", "given")
INDIFFERENT = ("seed", "compile")


class Cell(NamedTuple):
    """A number, the mean over so many runs, with its 95 % interval, where it has one."""

    value: float
    interval: tuple[float, float] | None
    runs: int = 1


@dataclass(frozen=True)
class TableRow:
    """One number of all columns that have it under one protocol, by label; `protocol` is flat."""

    metric: str
    name: str
    label: str  # the name, the extractor, and what else tells this row from others of this name
    about: Value
    protocol: Mapping[str, Any]
    cells: Mapping[str, Cell]

    @property
    def title(self) -> str:
        """The label as people say it."""
        return self.label.replace(self.name, self.about.title, 1)

    @property
    def best(self) -> set[str]:
        """The columns with the best value, if not all have it and a best is known."""
        loss = {label: self.about.loss(cell.value) for label, cell in self.cells.items()}
        least = min(loss.values())
        best = {k for k, v in loss.items() if v == least}
        return best if len(best) < len(loss) else set()


def rows_of(columns: Sequence[Column]) -> tuple[list[TableRow], list[str]]:
    """All rows in the order in which they first occur, and notes on numbers that do not compare or are not there."""
    found: dict[tuple[str, str], dict[str, tuple[dict[str, Any], dict[str, list[Cell]]]]] = {}
    declared: dict[tuple[str, str], Value] = {}
    for column in columns:
        for run in column.runs:
            for metric, number, protocol, cell in _numbers(run):
                declared.setdefault((metric, number.name), number.about)
                alike = found.setdefault((metric, number.name), {})
                _, cells = alike.setdefault(repr(sorted(protocol.items())), (protocol, {}))
                cells.setdefault(column.label, []).append(cell)
    rows, splits = [], {}
    for (metric, name), alike in found.items():
        labels, differ = told_apart(name, [protocol for protocol, _ in alike.values()])
        for label, (protocol, cells) in zip(labels, alike.values(), strict=True):
            values = {k: pooled(values) for k, values in cells.items()}
            rows.append(TableRow(metric, name, label, declared[metric, name], protocol, values))
        if differ:
            splits.setdefault(differ, []).append(name)
    notes = [
        f"{', '.join(split)}: in rows of their own, not compared, because runs differ in {', '.join(differ)}"
        for differ, split in splits.items()
    ]
    return rows, [*notes, *_remarks(columns)]


def told_apart(name: str, protocols: Sequence[Mapping[str, Any]]) -> tuple[list[str], tuple[str, ...]]:
    """A label for the number under each protocol, as short as tells them apart, and all in which these differ."""
    extractors = [[p[k] for k in ("extractor.name", "network.name") if k in p] for p in protocols]
    labels = [", ".join([name, *map(str, extractor)]) for extractor in extractors]
    keys = dict.fromkeys(key for protocol in protocols for key in protocol)
    differ = tuple(key for key in keys if len({repr(p.get(key)) for p in protocols}) > 1)
    for key in differ:
        if len(set(labels)) < len(labels):
            labels = [f"{label}, {key} {p.get(key, '–')}" for label, p in zip(labels, protocols, strict=True)]
    return labels, differ


def pooled(values: Sequence[Cell]) -> Cell:
    """One run's cell as it is; of several, the mean with Student's 95 % interval over the runs, mean ± t·s/√n."""
    if len(values) == 1:
        return values[0]
    from scipy.stats import t

    numbers, n = [cell.value for cell in values], len(values)
    mean = math.fsum(numbers) / n
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / (n - 1))
    reach = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Cell(mean, (mean - reach, mean + reach), n)


def _numbers(run: RunFolder) -> Iterator[tuple[str, Number, dict[str, Any], Cell]]:
    """Every number of a run that is one, with what decides whether others compare with it."""
    if (results := run.results()) is None:
        return
    data = run.recipe.test_images or {"kind": results.data or "?"}
    for metric, measured in results.metrics.items():
        asked = options(part("metric", metric)) if metric in names("metric") else measured.protocol
        kept = {k: v for k, v in measured.protocol.items() if k in {*asked, *DECISIVE} - {*INDIFFERENT}}
        protocol = flat({**kept, "data": data})
        for found in numbers(metric, measured):
            if found.value is not None:
                yield (
                    metric,
                    found,
                    protocol | _scores(found.about, measured.protocol),
                    Cell(found.value, found.interval),
                )


def _scores(about: Value, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Of what p(x | z) is, and on which scale but that of 8-bit images, for numbers that depend on it."""
    of, scale = protocol.get("scores"), protocol.get("scale")
    if about.scores is None or not isinstance(of, str):
        return {}
    return {"scores": about.scores.get(of, of)} | (flat({"scale": scale}) if scale else {})


def flat(tree: Mapping[str, Any], above: str = "", whole: Collection[str] = ()) -> dict[str, Any]:
    """Nested names joined with dots; what is in `whole` stays in one."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        nested = isinstance(value, Mapping) and name not in whole
        found |= flat(value, f"{name}.", whole) if nested else {name: value}
    return found


def _remarks(columns: Sequence[Column]) -> list[str]:
    """Of how many images numbers are, why some are not there, and what the reader of the others must know."""
    notes: dict[str, list[str]] = {}
    for run in (run for column in columns for run in column.runs):
        if (results := run.results()) is None:
            continue
        counts = [] if results.images is None else [results.counted]
        missing = [f"{metric} is not measured: {reason}" for metric, reason in results.unavailable.items()]
        for note in [*counts, *missing, *results.notes]:
            notes.setdefault(note, []).append(run.name)
    return [f"{', '.join(who)}: {note}" for note, who in notes.items()]
