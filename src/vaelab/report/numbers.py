"""The numbers of an evaluation as rows to read: value, interval, unit, and in short how each was measured."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vaelab.evaluation.comparison.judged import Column, Judged
from vaelab.evaluation.comparison.table import rows_of
from vaelab.io.formatting import counted, expectation, images_of, typeset
from vaelab.metrics.measurement import Value
from vaelab.metrics.names import about_metric, about_number, metric_of, numbers
from vaelab.report.reading import Told
from vaelab.runs.folder import finite, kind_of

SPLITS = {"valid": "validation", "train": "training"}


class Line(NamedTuple):
    """A number of one run."""

    title: str
    value: str
    interval: str
    unit: str


class Tile(NamedTuple):
    """A number that is seen first."""

    title: str
    value: str
    note: str


class Group(NamedTuple):
    """The numbers of one metric, and in short how they were measured."""

    title: str
    protocol: str
    lines: list[Line]


class Measured(NamedTuple):
    """A split's numbers, what could not be measured and why, and what must be known of them."""

    of: str  # which images
    groups: list[Group]
    remarks: list[str]
    protocols: str  # in full


class Cell(NamedTuple):
    """A number in the table of several runs."""

    value: str
    interval: str
    best: bool


def measured(told: Told) -> list[Measured]:
    """The tables of one run."""
    return [_measured(split, report) for split, report in told.reports.items()]


def tiles(told: Told) -> list[Tile]:
    """The numbers that a reader looks for first: those of the best epoch, and of the metrics those declared as such."""
    run, (split, report) = told.folder, told.current
    found = []
    if run.best:
        at = f"best epoch, {run.best['epoch']:g}"
        found.append(Tile(f"Validation {run.bound}", typeset(finite(run.best, "loss")), f"nats per image, {at}"))
        found.append(Tile("KL", typeset(finite(run.best, "kl")), "nats per validation image"))
    for metric, entry in report.get("metrics", {}).items():
        for _, value, _, about in numbers(metric, entry):
            if about.tile and value is not None:
                note = " · ".join(text for text in (about.unit or about.meaning, _short(entry["protocol"])) if text)
                found.append(Tile(*_seen(about, value, entry["values"], SPLITS.get(split, split).capitalize()), note))
    return found


def _seen(about: Value, value: float, values: Mapping[str, Any], split: str) -> tuple[str, str]:
    """Title and text of a tile; a bound on log p(x) as the loss that it is beside the validation's."""
    if about.scores is not None:
        return f"{split} −{about.tile}", typeset(-value)
    return about.tile, f"{value} of {values[about.of]}" if about.of in values else typeset(value)


def side_by_side(runs: Sequence[Told]) -> tuple[list[tuple[str, str, list[Cell]]], list[str]]:
    """Title, unit and a cell for each run, row by row; and what does not compare, is missing or must be known."""
    columns = [Column((Judged(run.name, run.folder.path, _complete(run), run.report),)) for run in runs if run.report]
    rows, notes = rows_of(columns)
    table = []
    for row in rows:
        cells = []
        for run in runs:
            cell = row.cells.get(run.name)
            value, interval = (typeset(cell.value), _ends(cell.interval)) if cell else ("–", "")
            cells.append(Cell(value, interval, run.name in row.best))
        table.append((row.label.replace(row.name, row.about.title, 1), row.about.unit, cells))
    return table, notes


def title_of(name: str) -> str:
    """A number's name as people say it."""
    return about_number(metric_of(name), name).title


def _measured(split: str, report: Mapping[str, Any]) -> Measured:
    groups = [
        Group(about_metric(name).title, _short(entry["protocol"]), _lines(name, entry))
        for name, entry in report["metrics"].items()
    ]
    remarks = [f"{name} was not measured: {reason}" for name, reason in report["unavailable"].items()]
    remarks += [_capital(expectation(verdict, title_of(verdict["name"]), typeset)) for verdict in report["expected"]]
    notes = {note for entry in report["metrics"].values() for note in entry["notes"]}
    protocols = {name: entry["protocol"] for name, entry in report["metrics"].items()}
    full = json.dumps(protocols, indent=2, ensure_ascii=False)
    of = images_of({**report, "split": SPLITS.get(split, split)}, report["metrics"])
    return Measured(of, groups, [*remarks, *report["notes"], *sorted(notes)], full)


def _lines(metric: str, entry: Mapping[str, Any]) -> list[Line]:
    return [
        Line(found.about.title, typeset(found.value), _ends(found.interval), found.about.unit)
        for found in numbers(metric, entry)
    ]


def _ends(interval: tuple[float, float] | None) -> str:
    """`72.10 … 74.60`, "" for none."""
    return f"{typeset(interval[0])} … {typeset(interval[1])}" if interval else ""


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _short(protocol: Mapping[str, Any]) -> str:
    """`10,000 images · 100 draws · 10,000 samples of the prior · features of classifier 91e7 · k = 5`."""
    said = [counted(protocol["images"], "image")] if isinstance(protocol.get("images"), int) else []
    if isinstance(protocol.get("samples"), int):
        said.append(counted(protocol["samples"], "draw"))
    if isinstance(protocol.get("fakes"), int):
        kind = kind_of(protocol.get("sampler", "prior"))
        said.append(f"{protocol['fakes']:,} samples of the {kind}".replace("the gmm", "a fitted mixture"))
    for key in ("extractor", "network"):
        if isinstance(found := protocol.get(key), Mapping):
            said.append(f"features of {found.get('name', '?')} {str(found.get('hash', ''))[:4]}".rstrip())
    said += [f"{key} = {protocol[key]}" for key in ("k", "pca_dim", "temperatures") if protocol.get(key)]
    return " · ".join(said)


def _complete(run: Told) -> dict[str, Any]:
    """The recipe with the sections that a comparison looks at, also where recipe.yaml is not whole."""
    return {"train": {}, **run.folder.options, "data": run.folder.options.get("data") or run.report["data"] or "?"}
