"""A training on the terminal: a progress bar, and a table with a line per tenth of the run."""

import contextlib
import sys
import textwrap
import time
from pathlib import Path

from vaelab.io.progress import say, terminal
from vaelab.runs.log import LogWriter, Row

WIDTHS = "{:>9}  {:>9}  {:>9}  {:>8}  {:>6}  {:>10}  {:>10}"  # 73 columns
HEAD = WIDTHS.format("epoch", "loss", "rec", "kl", "β", "valid ", "images/s")
KEY = "in nats per image; valid: held-out images, at β = 1; *: the best so far"
MINUTE = 60.0  # after which an epoch has its line although its tenth of the run has one
INDENT = " " * 11  # of what else is measured, below the numbers of an epoch
SHORT = {"loss": "loss", "rec": "reconstruction", "kl": "kl"}


class ShownLog(LogWriter):
    """A log that is shown as it is written: a bar on a terminal, and a table with a line per tenth of the run.

    Long epochs have a line each, and at least one a minute. Where the terminal goes away the training goes on.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.progress = self.task = None
        self.tenth, self.said, self.headed = -1, 0.0, False
        self.train: Row = {}
        self.measured: Row = {}

    def begin(self, done: int, steps: int, epochs: int) -> None:
        """Begin the log, and the bar of so many steps where there is a terminal."""
        super().begin(done, steps, epochs)
        self.epochs = epochs
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None and sys.stderr.isatty():
                self._start(done, steps)

    def write(self, row: Row) -> None:
        """Append a row, and show it: a step in the bar, an epoch that is due in the table."""
        super().write(row)
        with contextlib.suppress(OSError, ValueError):
            self._show(row)

    def close(self) -> None:
        """Leave the terminal tidy."""
        with contextlib.suppress(OSError, ValueError):
            if self.progress:
                self.progress.stop()

    def _start(self, done: int, steps: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(12), TextColumn("{task.percentage:>3.0f}%  {task.description}"), TimeRemainingColumn())
        self.progress = Progress(*columns, console=terminal(), transient=True)
        self.progress.start()
        self.task = self.progress.add_task("starting", total=steps, completed=done)

    def _show(self, row: Row) -> None:
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
