"""Runs side by side: one table of every number with its interval, as Markdown and CSV, and figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.errors import VaelabError
from vaelab.evaluation.columns import columns_of, read_runs
from vaelab.evaluation.comparison_figures import draw_figures
from vaelab.evaluation.evaluate import evaluate
from vaelab.evaluation.quality import write_csv
from vaelab.evaluation.table import TableRow, rows_of
from vaelab.io.files import write_whole
from vaelab.io.formatting import number
from vaelab.io.progress import note


@dataclass(frozen=True)
class Comparison:
    """The columns' labels, with how many runs each stands for; the rows; what one must know; the files written."""

    columns: dict[str, int]
    rows: list[TableRow]
    notes: list[str]
    files: list[Path]

    @property
    def text(self) -> str:
        """The table, which reads well on a terminal and is Markdown, and the notes."""
        lines = [
            ["", "unit", *self.columns],
            *([row.label, row.about.mark, *(_cell(row, *c) for c in self.columns.items())] for row in self.rows),
        ]
        lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * width for width in widths])
        table = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
        key = "**Best of its row** (↑ more is better), [95 % interval]: over images, of several seeds over these."
        return "\n".join([*table, "", key, *(f"\n- {note}" for note in self.notes), ""])


def compare(
    runs: Sequence[str | Path],
    *,
    order: Sequence[str] | None = None,
    out: str | Path = "comparison",
    group: bool = True,
    figures: bool = True,
    measure: bool = True,
    n: int = 1000,
    seed: int = 0,
    data_dir: str | Path | None = None,
    device: str = "auto",
) -> Comparison:
    """Compare runs in the folder `out`: comparison.md, comparison.csv, and PNGs.

    A column is a run, by its folder's name, or with `group` all runs that differ in their seed only; those that `order`
    names come first. A row is a number under one protocol: where split, counts, extractor or options of a metric
    differ, runs stand in different rows, and no best is marked between them. `figures` show the first run of each
    column: samples, reconstructions, and the sharpness of `n` samples beside real test images.
    A run without numbers of its present weights is evaluated first, by the metrics of the others, and a note says so;
    without `measure` it is a UsageError.
    """

    def lacking(run: Path, why: str, metrics: list[str] | None) -> None:
        note(f"{why}; measuring it now")
        evaluate(run, metrics=metrics, data_dir=data_dir, device=device)

    columns = columns_of(read_runs(runs, lacking if measure else None), group, order)
    rows, notes = rows_of(columns)
    folder, paths = Path(out), []
    if figures:
        try:
            first = [column.runs[0] for column in columns]
            paths = draw_figures(first, folder, n=n, seed=seed, data_dir=data_dir, device=device)
        except VaelabError as reason:  # the table needs neither data nor models
            notes.append(str(reason))
    made = Comparison(
        {column.label: len(column.runs) for column in columns},
        rows,
        notes,
        [*paths, *(folder / f"comparison.{s}" for s in ("md", "csv"))],
    )
    shown = "".join(f"\n![{path.stem}]({path.name})\n" for path in paths)
    write_whole(folder / "comparison.md", lambda file: file.write_text(made.text + shown, encoding="utf-8"))
    write_csv(folder / "comparison.csv", _long(made))
    return made


def _long(made: Comparison) -> Iterator[Sequence[Any]]:
    """A line for each number of each column."""
    number, about = ("value", "low", "high", "runs"), ("title", "unit", "better")
    yield ["metric", "name", "label", "run", *number, "best", "protocol", *about]
    for row in made.rows:
        for label, cell in row.cells.items():
            number = cell.value, *(cell.interval or ("", "")), cell.runs
            about = row.about.title, row.about.unit, row.about.better
            yield [row.metric, row.name, row.label, label, *number, label in row.best, json.dumps(row.protocol), *about]


def _cell(row: TableRow, label: str, runs: int) -> str:
    """`**1.50** [1.40, 1.60]`, and of how many runs, if not of all."""
    if (cell := row.cells.get(label)) is None:
        return "–"
    shown = f"**{number(cell.value)}**" if label in row.best else number(cell.value)
    shown += f" [{', '.join(map(number, cell.interval))}]" if cell.interval else ""
    return shown if cell.runs == runs else f"{shown} of {cell.runs}"
