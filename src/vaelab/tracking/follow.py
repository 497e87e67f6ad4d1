"""Hands what is new in a run folder to trackers; `tracking.json` there says how far each of them is."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError, VaelabError
from vaelab.io.files import read_object, write_whole
from vaelab.io.hashing import data_hash
from vaelab.recipe.trackers import Spec
from vaelab.tracking.alone import claim
from vaelab.tracking.reading import Mark, Reader, mark_of, values_of
from vaelab.tracking.tracker import Told, Tracker, make

FILE = "tracking.json"
CHATTER = "tracking.log"  # what the services print
LONGEST = 160  # characters of a reason
UNREACHED = re.compile(r"HTTPS?ConnectionPool\(host='([^']*)', port=(\d+)\): Max retries .*?(?:Caused by (\w+)|$)")


@dataclass
class Sent:
    """How far one tracker is."""

    mark: Mark = (-1.0, 0)
    pictures: dict[str, int] = field(default_factory=dict)  # by name, when they were changed
    metrics: str = ""  # a hash of the numbers
    memory: dict[str, Any] = field(default_factory=dict)  # the tracker's own

    def lacks(self, rows: list, pictures: list, metrics: Mapping[str, float]) -> bool:
        """Whether any of these was not sent."""
        return (
            any(mark_of(row) > self.mark for row in rows)
            or any(self.pictures.get(path.name) != changed for _, path, _, changed in pictures)
            or bool(metrics and _digest(metrics) != self.metrics)
        )


class Follower:
    """Trackers of one folder; one that fails says so once through `say` and is dropped.

    UsageError if others still follow the folder after `patience` seconds.
    """

    def __init__(
        self, folder: Path, trackers: Mapping[str, Tracker], say: Callable[[str], None], patience: float = 0.0
    ) -> None:
        self.folder, self.say = folder.resolve(), say
        self.trackers, self.reader = dict(trackers), Reader(folder)
        self.claim = claim(self.folder, patience)
        stored = _stored(self.folder)
        self.sent = {key: stored.get(key) or Sent() for key in trackers}
        self.counts = {"rows": 0, "pictures": 0, "numbers": 0}
        self.failed: dict[str, str] = {}  # why, in a line, with the fix
        self.kept = True  # what was sent is written down

    def leave_unchanged(self) -> list[str]:
        """Drop those that were sent all there is, and return them: some could only begin a second, equal run."""
        reader = Reader(self.folder)
        found = reader.rows(last=True), reader.pictures(), reader.metrics()
        idle = [key for key in self.trackers if not self.sent[key].lacks(*found)]
        self.trackers = {key: tracker for key, tracker in self.trackers.items() if key not in idle}
        return idle

    def begin(self, done: int | None = None) -> None:
        """Open all; in a run that was resumed after step `done`, what was sent of later steps is to be forgotten."""
        recipe = self.reader.recipe()
        for key in list(self.trackers):
            self._guarded(key, lambda tracker, sent: self._open(tracker, sent, recipe, done))
            if key in self.trackers and (view := self.trackers[key].view):
                self.say(f"tracking: {view}")

    def poll(self, last: bool = False) -> None:
        """Send what is new; at the `last` time also what may be half written."""
        rows, pictures, metrics = self.reader.rows(last), self.reader.pictures(), self.reader.metrics()
        before = sum(self.counts.values())
        for key in list(self.trackers):
            self._guarded(key, lambda tracker, sent: self._send(tracker, sent, rows, pictures, metrics))
        if sum(self.counts.values()) > before:
            self._store()

    def end(self, state: str) -> None:
        """Close all."""
        for key in list(self.trackers):
            self._guarded(key, lambda tracker, _: tracker.end(state))
        self._store()
        if self.claim:
            self.claim.close()

    def _open(self, tracker: Tracker, sent: Sent, recipe: Mapping[str, Any], done: int | None) -> None:
        if not tracker.begin(Told(self.folder, recipe, sent.memory)):
            sent.mark, sent.pictures, sent.metrics = (-1.0, 0), {}, ""
        elif done is not None and sent.mark > (done, 9) and tracker.rewind(done):
            sent.mark = (float(done), 9)

    def _send(self, tracker: Tracker, sent: Sent, rows: list, pictures: list, metrics: Mapping[str, float]) -> None:
        for row in rows:
            if (mark := mark_of(row)) > sent.mark:
                tracker.scalars(values_of(row), int(row["step"]), row["epoch"])
                sent.mark = mark
                self.counts["rows"] += 1
        for name, path, step, changed in pictures:
            if sent.pictures.get(path.name) != changed:
                tracker.image(name, path, step)
                sent.pictures[path.name] = changed
                self.counts["pictures"] += 1
        if metrics and (digest := _digest(metrics)) != sent.metrics:
            tracker.scalars(metrics, self.reader.last, max(self.reader.steps, default=0))
            sent.metrics = digest
            self.counts["numbers"] += len(metrics)
        tracker.flush()

    def _guarded(self, key: str, act: Callable[[Tracker, Sent], None]) -> None:
        try:
            act(self.trackers[key], self.sent[key])
        except (Exception, SystemExit) as error:  # whatever a service does, the training goes on
            self.failed[key] = f"{reason(error)}; {_remedy(error, self.trackers.pop(key))}"
            self.say(f"note: {key} is dropped: {reason(error)}; to send it later, track {self.folder} to {key!r}")

    def _store(self) -> None:
        text = json.dumps(
            read_object(self.folder / FILE) | {key: asdict(sent) for key, sent in self.sent.items()}, indent=1
        )
        try:
            write_whole(self.folder / FILE, lambda file: file.write_text(text + "\n") and None)
        except VaelabError:  # a full disk is the training's to say
            self.kept = False


def track(run: Path, specs: Iterable[Spec], say: Callable[[str], None] = print) -> dict[str, int]:
    """Send what a run folder holds, and has not been sent there before; how many rows, pictures and final numbers."""
    if not run.is_dir():
        raise UsageError(f"{run} is no run folder: it does not exist; name one that does")
    said: list[str] = []
    follower = Follower(run, make(specs), said.append)
    idle = follower.leave_unchanged()
    with _apart(run):
        for act in (follower.begin, lambda: follower.poll(last=True), lambda: follower.end("done")):
            act()
    if follower.failed:
        why = "; ".join(f"{key}: {text}" for key, text in follower.failed.items())
        raise VaelabError(f"not all was sent to {why}, then send the rest")
    for sentence in said:
        say(sentence)
    if idle:
        say(f"note: {' and '.join(idle)} has it all already; delete {run / FILE} to send it again")
    if not follower.kept:
        say(f"note: {run} cannot be written, so all of it will be sent again next time")
    if problems := follower.reader.problems():
        say(f"note: {problems}; the rest was sent")
    return follower.counts


@contextmanager
def _apart(folder: Path) -> Iterator[None]:
    """What services print goes to a file, as it does beside a training."""
    with contextlib.ExitStack() as stack:
        try:
            chatter = stack.enter_context((folder / CHATTER).open("a"))
        except OSError:  # a folder that cannot be written
            yield
            return
        terminal = [os.dup(number) for number in (1, 2)]
        try:
            _point(chatter.fileno(), chatter.fileno())
            yield
        finally:
            _point(*terminal)
            for number in terminal:
                os.close(number)
    if not (folder / CHATTER).stat().st_size:
        (folder / CHATTER).unlink()


def _point(output: int, errors: int) -> None:
    """Let what is printed from now on go to these open files."""
    for stream, number, target in ((sys.stdout, 1, output), (sys.stderr, 2, errors)):
        stream.flush()
        os.dup2(target, number)


def _digest(metrics: Mapping[str, float]) -> str:
    return data_hash(metrics)[:12]


def reason(error: BaseException) -> str:
    """Why, in a line."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    if pool := UNREACHED.search(text):  # of urllib3, whose own words fill a paragraph
        return f"{pool[1]}:{pool[2]} cannot be reached ({pool[3] or name})"
    return f"{name}: {text[:LONGEST]}{'…' if len(text) > LONGEST else ''}" if text else name


def _remedy(error: BaseException, tracker: Tracker) -> str:
    """What to do about it: services raise OSErrors too, but those of files name one."""
    if not isinstance(error, OSError) or error.filename is None:
        return "see that it can be reached and is logged in"
    return "make that place writable" + (f", or give another by {tracker.elsewhere}=…" if tracker.elsewhere else "")


def _stored(folder: Path) -> dict[str, Sent]:
    """What trackers were sent before; what cannot be read counts as nothing."""
    found = {}
    for key, entry in read_object(folder / FILE).items():
        with contextlib.suppress(TypeError, KeyError, ValueError):
            step, place = entry["mark"]
            found[key] = Sent(**entry | {"mark": (float(step), int(place))})
    return found
