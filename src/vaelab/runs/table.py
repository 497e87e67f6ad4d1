"""The runs of a directory as a table, and the last words of a training; plain lines that fit 80 columns."""

import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from vaelab.errors import UsageError
from vaelab.io.files import expanded
from vaelab.io.formatting import number, printable, span, typed, typeset
from vaelab.io.progress import note
from vaelab.runs.folder import RunFolder, is_run
from vaelab.runs.log import finite

NUMBERS = (1, 2, 4)  # columns after the name that stand to the right
DEPTH = 3  # folders below the one that is named


def find_runs(directory: Path) -> list[RunFolder]:
    """The runs in a directory and a few folders below it, or the run that it is; the newest first."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is no folder; name one that holds runs, or start one: vaelab train digits-vamp")
    found = [directory] if is_run(directory) else []
    level = [] if found else [directory]
    for _ in range(DEPTH):
        inside = [path for folder in level for path in sorted(folder.iterdir()) if path.is_dir()]
        found += [path for path in inside if is_run(path)]
        level = [path for path in inside if not is_run(path)]
    return sorted(filter(None, map(_read, found)), key=lambda run: -run.state.seen)


def runs_table(directory: Path) -> str:
    """A line for each run, and below them what went wrong with some."""
    directory = expanded(directory)
    runs = find_runs(directory)
    if not runs:
        return f"no runs in {directory}; start one: vaelab train digits-vamp"
    told, bounds = [], set()
    for run in runs:
        name, state = _name(run, directory), run.state
        told += [f"{name}: {state.reason}"] if state.reason and state.word != "done" else []
        if run.log.best and not run.recipe.sections:
            told.append(f"{name}: its recipe cannot be read, so its number may be no ELBO")
        elif run.log.best:
            bounds.add(run.recipe.bound.removeprefix("−"))
    if others := sorted(bounds - {"ELBO"}):
        told.append(f"best ELBO: of validation images, in nats; here also {', '.join(others)}")
    lines = [["run", "data", "epoch", "best ELBO", "state", "age"], *(_cells(run, directory) for run in runs)]
    below = [textwrap.fill(printable(" ".join(text.split())), _width(), **_HANGING) for text in told]
    return "\n".join([*_table(lines, _width()), *below])


def summary(path: Path) -> str:
    """What a training says at its end: the best epoch, how long it took, where it lies, what to do next."""
    run = RunFolder.read(path)
    lines = [("trained:", str(path))]
    if (best := run.log.best) and (loss := finite(best, "loss")) is not None:
        took = f", {span(run.state.seconds)}" if run.state.seconds is not None else ""
        lines.append(
            ("best:", f"epoch {best['epoch']:g} of {run.log.epoch}, {run.recipe.bound} {typeset(loss)} nats{took}")
        )
    if (path / "report.html").exists():
        lines.append(("report:", str(path / "report.html")))
    lines += [("next:", f"vaelab evaluate {typed(path)}"), ("", f"vaelab figures {typed(path)}")]
    return "\n".join(f"{word:<9}{printable(text)}" for word, text in lines)


_HANGING = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}


def _cells(run: RunFolder, directory: Path) -> list[str]:
    loss = finite(run.log.best, "loss") if run.log.best else None
    epochs = f"{run.log.epoch}/{run.epochs}" if run.epochs else f"{run.log.epoch}" if run.log.valid else "–"
    name, recipe = _name(run, directory), run.recipe.name
    if recipe and not run.name.startswith(recipe):
        name += f" ({printable(recipe)})"
    age = span(max(0.0, time.time() - run.state.seen))
    return [
        name,
        printable(run.recipe.data) or "–",
        epochs,
        "–" if loss is None else number(-loss),
        run.state.word,
        age,
    ]


def _name(run: RunFolder, directory: Path) -> str:
    return printable(run.name if run.path == directory else str(run.path.relative_to(directory)))


def _table(lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Columns that fit a terminal; a name too long for its column stands on a line of its own, above its numbers."""
    widths = [max(map(len, column)) for column in zip(*(line[1:] for line in lines), strict=True)]
    room = max(2, width - sum(widths) - 2 * len(widths))
    first = max((len(line[0]) for line in lines if len(line[0]) <= room), default=2)
    table = []
    for name, *rest in lines:
        table += [name] if len(name) > first else []
        cells = [c.rjust(w) if i in NUMBERS else c.ljust(w) for i, (c, w) in enumerate(zip(rest, widths, strict=True))]
        table.append("  ".join([f"{'' if len(name) > first else name:<{first}}", *cells]).rstrip())
    return table


def _read(path: Path) -> RunFolder | None:
    """A run, or None and a note where its files are odder than any that a training writes."""
    try:
        return RunFolder.read(path)
    except Exception as error:  # one odd folder must not hide the others
        note(f"{path} is passed over, for it cannot be read: {error}")
        return None


def _width() -> int:
    """Of the terminal; a pipe has room for any line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
