"""A tracker on its way through a run folder, of which each row, picture and number is sent to it once."""

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vaelab.io.files import read_object
from vaelab.io.hashing import data_hash
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Log, Row, finite
from vaelab.tracking.tracker import Tracker

Mark = tuple[float, int]  # of a row: its step, and its place among the rows of that step
# The first part of the names of a row's numbers by its kind and split, in the order in which those of a step are logged
GROUPS = {
    ("step", "train"): "train",
    ("epoch", "train"): "epoch",
    ("evaluation", "valid"): "evaluation",
    ("epoch", "valid"): "valid",
}
FILE = "tracking.json"  # how far each tracker is, by its name
LONGEST = 160  # characters of a reason
UNREACHED = re.compile(r"HTTPS?ConnectionPool\(host='([^']*)', port=(\d+)\): Max retries .*?(?:Caused by (\w+)|$)")
NO_NUMBERS = ("kind", "split", "step", "epoch", "best")
DRAWN_AT = re.compile(r"epoch_(\d+)_(.+)")


class Sent(BaseModel):
    """How far a tracker is."""

    mark: Mark = (-1.0, 0)
    pictures: dict[str, int] = {}  # by name, when they were changed
    metrics: str = ""  # a hash of the numbers
    memory: dict[str, Any] = {}  # the tracker's own

    @classmethod
    def read(cls, folder: Path, name: str) -> "Sent":
        """That of a tracker as a run folder tells it; what cannot be read counts as nothing."""
        with suppress(ValueError):
            return cls.model_validate(read_object(folder / FILE).get(name))
        return cls()


class Follower:
    """A tracker, opened as soon as there is something for it; where it fails, `failed` says why and what to do.

    In a run that was resumed after step `done`, what was sent of later steps is to be forgotten.
    """

    def __init__(self, run: RunFolder, name: str, tracker: Tracker, done: int | None = None) -> None:
        self.run, self.name, self.tracker, self.done = run, name, tracker, done
        self.sent = Sent.read(run.path, name)
        self.counts, self.is_open, self.failed = Counter(rows=0, pictures=0, numbers=0), False, ""
        self._restart()
        if done is not None and tracker.rewinds:
            self.sent.mark = min(self.sent.mark, (float(done), len(GROUPS)))

    def send(self, ended: RunFolder | None = None) -> None:
        """Send what is new; of a run that has `ended` also what may be half written and its numbers, and close."""
        if self.failed:
            return
        try:
            self._send(ended)
            if ended and self.is_open:
                word = ended.state.word
                self.tracker.end(word if word in ("stopped", "failed", "killed") else "done")
        except (Exception, SystemExit) as error:  # whatever a service does, the training goes on
            again = f"then track {self.run.path} to {self.name!r}, which sends the rest"
            self.failed = f"{self.name} is dropped: {reason(error)}; {self._remedy(error)}, {again}"

    def _send(self, ended: RunFolder | None) -> None:
        rows = [row for row in self._rows(last=ended is not None) if mark_of(row) > self.sent.mark]
        pictures = self._pictures()
        numbers = numbers_of(ended)
        digest = data_hash(numbers)[:12] if numbers else self.sent.metrics
        if not (rows or pictures or digest != self.sent.metrics):
            return
        if not self.is_open and not self._open():
            self._send(ended)  # all of it
            return
        for row in rows:
            self.tracker.scalars(values_of(row), int(row["step"]), row["epoch"])
            self.sent.mark = mark_of(row)
        for path, changed in pictures.items():
            self._send_picture(path)
            self.sent.pictures[path.name] = changed
        if digest != self.sent.metrics:
            self.tracker.scalars(numbers, self.last, max(self.steps, default=0))
            self.sent.metrics = digest
            self.counts["numbers"] += len(numbers)
        self.counts.update(rows=len(rows), pictures=len(pictures))
        self.tracker.flush()

    def _open(self) -> bool:
        """Open the tracker; whether it has what it was sent before."""
        known, self.is_open = self.tracker.begin(self.run, self.sent.memory, self.done), True
        if not known:
            self.sent = Sent(memory=self.sent.memory)
            self._restart()
        return known

    def _restart(self) -> None:
        self.offset, self.last = 0, 0  # bytes of the log that were read, and their last step
        self.steps: dict[int, int] = {}  # of the epochs' ends

    def _rows(self, last: bool) -> list[Row]:
        """New rows; those of a log that was written anew begin again."""
        log = Log()
        with suppress(OSError), (self.run.path / "log.jsonl").open("rb") as file:
            self.offset = file.seek(self.offset if file.seek(0, 2) >= self.offset else 0)
            log, read = Log.parse(file.read(), last)
            self.offset += read
        self.last = max([self.last, *(int(row["step"]) for row in log.rows)])
        self.steps |= {int(row["epoch"]): int(row["step"]) for row in log.rows if row["kind"] == "epoch"}
        return list(log.rows)

    def _pictures(self) -> dict[Path, int]:
        """The PNGs that were drawn since, and when they were changed."""
        changed = {path: path.stat().st_mtime_ns for path in sorted(self.run.figures.glob("*.png"))}
        return {path: when for path, when in changed.items() if self.sent.pictures.get(path.name) != when}

    def _send_picture(self, path: Path) -> None:
        """Send a PNG; one that was drawn of an epoch is of the step at which it ended."""
        if drawn := DRAWN_AT.fullmatch(path.stem):
            self.tracker.image(f"images/{drawn[2]}", path, self.steps.get(int(drawn[1]), int(drawn[1])))
        else:
            self.tracker.image(f"figures/{path.stem}", path, self.last)

    def _remedy(self, error: BaseException) -> str:
        """The fix: services raise OSErrors too, but those of files name one."""
        if not isinstance(error, OSError) or error.filename is None:
            return "see that it can be reached and is logged in"
        other = f", or give another by {self.tracker.elsewhere}=…" if self.tracker.elsewhere else ""
        return f"make that place writable{other}"


def mark_of(row: Row) -> Mark:
    """The place of a row; later rows have greater marks."""
    kind = row["kind"], row["split"]
    return float(row["step"]), [*GROUPS].index(kind) if kind in GROUPS else 0


def values_of(row: Row) -> dict[str, float]:
    """Its numbers by name: `train/kl` of steps, `epoch/kl` over an epoch's steps, `valid/kl` at β = 1."""
    group = GROUPS.get((row["kind"], row["split"]), row["split"])
    return {f"{group}/{key}": value for key in row if key not in NO_NUMBERS and (value := finite(row, key)) is not None}


def numbers_of(run: RunFolder | None) -> Mapping[str, float]:
    """The numbers that were measured of the weights of a run, as `test/frechet`."""
    results = run and run.current
    return {f"{results.split}/{key}": value for key, value in results.values.items()} if results else {}


def reason(error: BaseException) -> str:
    """The reason of a failure, in a line."""
    text, name = " ".join(str(error).split()), type(error).__name__
    if pool := UNREACHED.search(text):  # of urllib3, whose own words fill a paragraph
        return f"{pool[1]}:{pool[2]} cannot be reached ({pool[3] or name})"
    return f"{name}: {text[:LONGEST]}{'…' if len(text) > LONGEST else ''}" if text else name
