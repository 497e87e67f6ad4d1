"""The log of a run: one JSON object per logged step, epoch or evaluation, a line each in `log.jsonl`."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vaelab.errors import FolderGone
from vaelab.io.files import disk_error, parse_json, write_whole

Row = dict[str, Any]

MAX_STEPS = 2**63  # what a service can count
MAX_NUMBER = 1e100  # whose square, and the sum of many, are floats


@dataclass(frozen=True)
class Log:
    """The rows of a log, or of its last stage alone, and how many lines of it are no rows."""

    rows: list[Row] = field(default_factory=list)
    broken: int = 0
    earlier: Sequence[Row] = ()  # rows of training in the stages before

    @classmethod
    def read(cls, path: Path) -> "Log":
        """The log in a file, empty where there is none; OSError for one that cannot be read."""
        return cls.parse(path.read_bytes(), last=True)[0] if path.exists() else cls()

    @classmethod
    def parse(cls, text: bytes, last: bool) -> tuple["Log", int]:
        """The log in a text, and how many bytes of it were read.

        The end of a line that is still to come is waited for; where it is the `last` time, what is there may be a row.
        """
        *lines, rest = text.split(b"\n")
        found = [parse_row(line) for line in lines if line.strip()]
        rows = [row for row in [*found, parse_row(rest) if last else None] if row is not None]
        return cls(rows, found.count(None)), len(text) - len(rest)

    @cached_property
    def steps(self) -> list[Row]:
        """The logged steps."""
        return [row for row in self.rows if row["kind"] == "step"]

    @cached_property
    def train(self) -> list[Row]:
        """The epochs' means over training steps, at the β that was applied."""
        return [row for row in self.rows if row["kind"] == "epoch" and row["split"] == "train"]

    @cached_property
    def valid(self) -> list[Row]:
        """The epochs' numbers of the validation images, at β = 1."""
        return [row for row in self.rows if row["kind"] == "epoch" and row["split"] == "valid"]

    @property
    def best(self) -> Row | None:
        """The epoch whose weights were kept."""
        return next((row for row in reversed(self.valid) if row.get("best")), None)

    @property
    def epoch(self) -> int:
        """Epochs that were finished."""
        return int(self.valid[-1]["epoch"]) if self.valid else 0

    @cached_property
    def resolutions(self) -> list[float]:
        """Those that the model of a growing run has had, the smallest first."""
        return sorted(set(numbers(self.rows, "resolution")))

    @cached_property
    def last_stage(self) -> "Log":
        """The rows of the last stage of a growing run, told by their resolution; of another run all."""
        trained = [*self.train, *self.steps]
        size = next((finite(row, "resolution") for row in reversed(self.train or self.steps)), None)
        if size is None:
            return self
        kept = [row for row in trained if finite(row, "resolution") == size]
        epochs = {row["epoch"] for row in kept if row["kind"] == "epoch"}  # for rows of validation tell no stage
        earlier = [row for row in trained if finite(row, "resolution") != size]
        return Log([*kept, *(row for row in self.valid if row["epoch"] in epochs)], 0, earlier)


class LogWriter:
    """Appends one JSON object per event; silent in all processes but the main one."""

    def __init__(self, path: Path, *, silent: bool = False) -> None:
        self.path, self.silent = path, silent

    def begin(self, done: int, steps: int, epochs: int) -> None:
        """Forget rows after step `done`, which a killed run may have left."""
        if not self.silent:
            forget(self.path, done)

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

    def close(self) -> None:
        """The end of the training."""


def forget(path: Path, done: int) -> None:
    """Drop the rows after a step, from which a resumed run learns again."""
    kept = [row for row in Log.read(path).rows if row["step"] <= done]
    write_whole(path, lambda file: file.write_text("".join(f"{json.dumps(row)}\n" for row in kept)) and None)


def parse_row(line: bytes) -> Row | None:
    """The row in a line: an object with a kind, a split, a step and an epoch; None for anything else."""
    try:
        row = parse_json(line)
    except ValueError:  # a line cut short by a kill, or bytes that are no text
        return None
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("kind", "split")):
        return None
    counts = (finite(row, "step"), finite(row, "epoch"))
    return row if all(count is not None and 0 <= count < MAX_STEPS for count in counts) else None


def finite(found: Mapping[str, Any], key: str) -> float | None:
    """A number that was stored, None where it is missing, is none, or so large that sums and squares of it are none."""
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= MAX_NUMBER else None


def numbers(rows: Sequence[Row], key: str) -> list[float]:
    """The finite ones of that name."""
    return [x for row in rows if (x := finite(row, key)) is not None]


def _existing(path: str, flags: int) -> int:
    """An opener that makes no file."""
    return os.open(path, flags & ~os.O_CREAT)
