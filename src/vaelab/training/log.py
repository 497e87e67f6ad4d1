"""What a run says: rows in `log.jsonl`, a bar on the terminal, one line per epoch."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from vaelab.files import disk_error, write_whole

Row = dict[str, Any]


class Log:
    """Appends one JSON object per event and shows it; silent in all processes but the main one."""

    def __init__(self, path: Path, *, silent: bool, quiet: bool = False) -> None:
        self.path, self.silent = path, silent
        self.bar = None if silent or quiet else _Bar()

    def begin(self, done: int, steps: int, epochs: int) -> None:
        """Forget rows after step `done`, which a killed run may have left, and start the bar."""
        if self.silent:
            return
        kept = [row for row in read_rows(self.path) if row["step"] <= done]
        write_whole(self.path, lambda file: file.write_text("".join(f"{json.dumps(row)}\n" for row in kept)) and None)
        if self.bar:
            self.bar.begin(done, steps, epochs)

    def write(self, row: Row) -> None:
        """Append a row; numbers that are no numbers become null, as JSON has none."""
        if self.silent:
            return
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(clean) + "\n")
        except OSError as error:
            raise disk_error(self.path, error) from error
        if self.bar:
            self.bar.show(row)

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self.bar:
            self.bar.end()


def read_rows(path: Path) -> list[Row]:
    """The rows of a log; a last line cut short by a kill is passed over."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


class _Bar:
    """A rich progress bar on a terminal; elsewhere only the line per epoch."""

    def __init__(self) -> None:
        self.progress = self.task = None
        self.train: Row = {}
        self.measured: Row = {}

    def begin(self, done: int, steps: int, epochs: int) -> None:
        self.epochs = epochs
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(12), TextColumn("{task.percentage:>3.0f}%  {task.description}"), TimeRemainingColumn())
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
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
        elif row["kind"] == "epoch":
            self._line(row)

    def _line(self, valid: Row) -> None:
        held_out = f"  valid {valid['loss']:.2f}{'*' if valid.get('best') else ' '}"
        of = f"epoch {valid['epoch']:>{len(str(self.epochs))}g}/{self.epochs}"
        lines = [f"{of}  {_short(self.train, held_out)}"]
        if self.measured:
            lines.append(f"{' ' * len(of)}  {'  '.join(f'{k} {v:.4g}' for k, v in self.measured.items())}")
        self.measured = {}
        for line in lines:
            if self.progress:
                self.progress.console.print(line, highlight=False, soft_wrap=True)
            else:
                print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.progress:
            self.progress.stop()


def _short(row: Row, more: str = "") -> str:
    """`loss 103.52  rec 77.24  kl 26.85  β 0.98  21,034/s`, short enough for 80 columns; images per second last."""
    if not row:  # resumed after the last step of an epoch
        return more
    numbers = f"loss {row['loss']:.2f}  rec {row['reconstruction']:.2f}  kl {row['kl']:.2f}  β {row['beta']:.2g}"
    return f"{numbers}{more}  {row['images_per_second']:,.0f}/s"
