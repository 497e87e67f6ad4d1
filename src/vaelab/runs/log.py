"""What a run says: rows in `log.jsonl`, a bar on the terminal, a table with a line per tenth of the run."""

import contextlib
import json
import math
import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaelab.errors import FolderGone
from vaelab.io.files import disk_error, write_whole
from vaelab.io.progress import say, terminal
from vaelab.runs.state import parse_row

Row = dict[str, Any]

WIDTHS = "{:>9}  {:>9}  {:>9}  {:>8}  {:>6}  {:>10}  {:>10}"  # 73 columns
HEAD = WIDTHS.format("epoch", "loss", "rec", "kl", "β", "valid ", "images/s")
KEY = "in nats per image; valid: held-out images, at β = 1; *: the best so far"
MINUTE = 60.0  # after which an epoch has its line although its tenth of the run has one
INDENT = " " * 11  # of what else is measured, below the numbers of an epoch
SHORT = {"loss": "loss", "rec": "reconstruction", "kl": "kl"}


class Log:
    """Appends one JSON object per event and shows it; silent in all processes but the main one."""

    def __init__(self, path: Path, *, silent: bool, quiet: bool = False) -> None:
        self.path, self.silent = path, silent
        self.bar = None if silent or quiet else _Bar()

    def begin(self, done: int, steps: int, epochs: int) -> None:
        """Forget rows after step `done`, which a killed run may have left, and start the bar."""
        if self.silent:
            return
        forget(self.path, done)
        self._show(lambda bar: bar.begin(done, steps, epochs))

    def write(self, row: Row) -> None:
        """Append a row; numbers that are no numbers become null, as JSON has none."""
        if self.silent:
            return
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        try:
            with open(self.path, "a", opener=_existing) as file:
                file.write(json.dumps(clean) + "\n")
        except FileNotFoundError as error:
            raise FolderGone(self.path.parent) from error
        except OSError as error:
            raise disk_error(self.path, error) from error
        self._show(lambda bar: bar.show(row))

    def close(self) -> None:
        """Leave the terminal tidy."""
        self._show(_Bar.end)

    def _show(self, act: "Callable[[_Bar], None]") -> None:
        """On the terminal, which may go away: the training goes on without it."""
        if self.bar:
            with contextlib.suppress(OSError, ValueError):
                act(self.bar)


def read_rows(path: Path) -> list[Row]:
    """The rows of a log; lines that are none, as a kill may cut one short, are passed over."""
    return read_log(path)[0]


def read_log(path: Path) -> tuple[list[Row], int]:
    """The rows of a log, and how many lines are none; the last line without its end is not counted."""
    *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
    found = [parse_row(line) for line in lines if line.strip()]
    rows = [row for row in [*found, parse_row(last)] if row is not None]
    return rows, found.count(None)


def forget(path: Path, done: int) -> None:
    """Drop the rows after a step, from which a resumed run learns again."""
    kept = [row for row in read_rows(path) if row["step"] <= done]
    write_whole(path, lambda file: file.write_text("".join(f"{json.dumps(row)}\n" for row in kept)) and None)


def _existing(path: str, flags: int) -> int:
    """An opener that makes no file."""
    return os.open(path, flags & ~os.O_CREAT)


class _Bar:
    """A rich progress bar on a terminal, and a table: a line per tenth of the run, and at least one a minute."""

    def __init__(self) -> None:
        self.progress = self.task = None
        self.tenth, self.said = -1, 0.0
        self.train: Row = {}
        self.measured: Row = {}
        self.headed = False

    def begin(self, done: int, steps: int, epochs: int) -> None:
        self.epochs = epochs
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(12), TextColumn("{task.percentage:>3.0f}%  {task.description}"), TimeRemainingColumn())
            self.progress = Progress(*columns, console=terminal(), transient=True)
            self.progress.start()
            self.task = self.progress.add_task("starting", total=steps, completed=done)

    def show(self, row: Row) -> None:
        if row["kind"] == "step" and self.progress and self.task is not None:
            self.progress.update(self.task, completed=row["step"], description=_short(row))
        elif row["kind"] == "epoch" and row["split"] == "train":
            self.train = row
        elif row["kind"] == "evaluation":
            known = ("kind", "step", "epoch", "split")
            self.measured = {k: v for k, v in row.items() if k not in known and not k.endswith("_error")}
        elif row["kind"] == "epoch" and self._due(row["epoch"]):
            self._line(row)

    def _due(self, epoch: float) -> bool:
        tenth = int(epoch * 10 / self.epochs)
        if tenth == self.tenth and not self.measured and time.monotonic() - self.said < MINUTE:
            return False
        self.tenth, self.said = tenth, time.monotonic()
        return True

    def _line(self, valid: Row) -> None:
        lines = [] if self.headed else [KEY, HEAD]
        self.headed = True
        lines.append(_table_line(valid, self.train, self.epochs))
        if self.measured:
            told = "  ".join(f"{k}\u00a0{v:.4g}" for k, v in self.measured.items())
            folded = textwrap.wrap(told, 80 - len(INDENT), break_long_words=False, break_on_hyphens=False)
            lines += [INDENT + line.replace("\u00a0", " ") for line in folded]
        self.measured = {}
        for line in lines:
            if self.progress:
                self.progress.console.print(line, highlight=False, soft_wrap=True)
            else:
                say(line)

    def end(self) -> None:
        if self.progress:
            self.progress.stop()


def _table_line(valid: Row, train: Row, epochs: int) -> str:
    """A line of the table that `HEAD` heads; no training numbers where a run was resumed at an epoch's end."""
    numbers = [_five(train.get(key)) for key in ("loss", "reconstruction", "kl")]
    beta = f"{train['beta']:.2g}" if "beta" in train else ""
    pace = f"{train['images_per_second']:,.0f}" if train else ""
    held_out = f"{_five(valid['loss'])}{'*' if valid.get('best') else ' '}"
    at = f"{valid['epoch']:g}/{epochs}"
    return WIDTHS.format(at, *numbers, beta, held_out, pace).rstrip()


def _short(row: Row) -> str:
    """`loss 103.52  rec 77.24  kl 26.85  β 0.98  21,034/s`, short enough for a bar in 80 columns."""
    numbers = "  ".join(f"{name} {_five(row[key])}" for name, key in SHORT.items())
    beta = f"  β {row['beta']:.2g}" if "beta" in row else ""
    return f"{numbers}{beta}  {row['images_per_second']:,.0f}/s"


def _five(value: float | None) -> str:
    """Two decimals, one of what is large, or five digits of what is huge."""
    if value is None:
        return ""
    if abs(value) >= 1e6:
        return f"{value:.5g}"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.1f}"
