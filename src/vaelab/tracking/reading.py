"""What is new in a run folder: rows, pictures and numbers, read while they are still being written."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.io.formatting import typed
from vaelab.io.strict_yaml import read_yaml
from vaelab.runs.folder import is_outdated
from vaelab.runs.log import parse_row
from vaelab.runs.results import Results

Mark = tuple[float, int]  # of a row: its step, and its place among the rows of that step
RECORD = ("recipe.yaml", "log.jsonl", "figures", "metrics.json")
PLACES = {("epoch", "train"): 1, ("evaluation", "valid"): 2, ("epoch", "valid"): 3}  # in the order they are written
GROUPS = {("epoch", "train"): "epoch", ("evaluation", "valid"): "evaluation"}  # else the split
NO_NUMBERS = ("kind", "split", "step", "epoch", "best")
DRAWN_AT = re.compile(r"epoch_(\d+)_(.+)")


class Reader:
    """Reads on where it stopped; starts again where the log was written anew."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.jsonl"
        self.offset, self.identity = 0, 0
        self.broken = 0  # lines that were no rows
        self.steps: dict[int, int] = {}  # of the epochs' ends
        self.last = 0  # step
        if not any((folder / name).exists() for name in RECORD):
            raise UsageError(f"{folder} holds no run: neither {' nor '.join(RECORD)}; name a run folder")

    def rows(self, last: bool = False) -> list[dict[str, Any]]:
        """New rows; a line without its end waits until the rest of it comes, or until the `last` time."""
        try:
            with self.log.open("rb") as file:
                self._recognise(file.fileno())
                file.seek(self.offset)
                *whole, rest = file.read().split(b"\n")
        except OSError:
            return []
        self.offset += sum(len(line) + 1 for line in whole)
        found = [row for line in [*whole, *([rest] if last and rest else [])] if (row := self._row(line)) is not None]
        for row in found:
            self.last = max(self.last, int(row["step"]))
            if row["kind"] == "epoch":
                self.steps[int(row["epoch"])] = int(row["step"])
        return found

    def pictures(self) -> list[tuple[str, Path, int, int]]:
        """All whole PNGs: name, path, step and time of change."""
        found = []
        for path in sorted((self.folder / "figures").glob("*.png")):
            drawn = DRAWN_AT.fullmatch(path.stem)
            name = f"images/{drawn[2]}" if drawn else f"figures/{path.stem}"
            step = self.steps.get(int(drawn[1]), int(drawn[1])) if drawn else self.last
            if _is_whole(path):
                found.append((name, path, step, path.stat().st_mtime_ns))
        return found

    def recipe(self) -> dict[str, Any]:
        """The resolved recipe; nothing where there is none that can be read."""
        try:
            return read_yaml(self.folder / "recipe.yaml")
        except UsageError:
            return {}

    def metrics(self) -> dict[str, float]:
        """The numbers in metrics.json, as `test/frechet`; none where they are of earlier weights."""
        found = self._results()
        if not found or self._is_outdated(found):
            return {}
        return {f"{found.split}/{name}": value for name, value in found.values.items() if _is_number(value)}

    def problems(self) -> str:
        """What is missing, damaged or outdated, in one sentence; "" where all is there."""
        outdated = self._is_outdated(self._results())
        there = {"recipe.yaml": self.recipe(), "log.jsonl": self.offset, "figures": self.pictures()}
        lacks = [name for name, found in (there | {"metrics.json": outdated or self.metrics()}).items() if not found]
        lines = "a line of log.jsonl is no row" if self.broken == 1 else f"{self.broken} lines of log.jsonl are no rows"
        said = [f"there is no readable {' and no '.join(lacks)}"] if lacks else []
        again = f"metrics.json is of earlier weights (vaelab evaluate {typed(self.folder)} measures again)"
        said += [again] if outdated else []
        said += [f"{lines} (a training that was killed may leave one)"] if self.broken else []
        return " and ".join(said)

    def _results(self) -> Results | None:
        return Results.read(self.folder / "metrics.json")

    def _is_outdated(self, results: Results | None) -> bool:
        return results is not None and is_outdated(results, self.folder / "model.safetensors")

    def _recognise(self, file: int) -> None:
        """Begin again if this is another file than last time, or a shorter one."""
        now = os.fstat(file)
        if now.st_ino != self.identity or now.st_size < self.offset:
            self.identity, self.offset, self.broken = now.st_ino, 0, 0

    def _row(self, line: bytes) -> dict[str, Any] | None:
        row = parse_row(line)
        self.broken += row is None and bool(line.strip())
        return row


def mark_of(row: Mapping[str, Any]) -> Mark:
    """Where a row stands; later rows have greater marks."""
    return float(row["step"]), PLACES.get((row["kind"], row["split"]), 0)


def values_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Its numbers by name: `train/kl` of steps, `epoch/kl` over an epoch's steps, `valid/kl` at β = 1."""
    group = GROUPS.get((row["kind"], row["split"]), row["split"])
    return {f"{group}/{k}": v for k, v in row.items() if k not in NO_NUMBERS and _is_number(v)}


def _is_number(value: Any) -> bool:
    """A finite one, and no whole number beyond all floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(8)
        file.seek(-min(12, path.stat().st_size), 2)
        return begin == b"\x89PNG\r\n\x1a\n" and b"IEND" in file.read()
