"""Sending of a run folder to trackers: what is there, or what comes until the run has ended."""

import faulthandler
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path

from vaelab.errors import VaelabError
from vaelab.io.files import read_object, write_whole
from vaelab.recipe.trackers import Spec
from vaelab.runs.claim import held
from vaelab.runs.folder import RunFolder
from vaelab.runs.state import read_state
from vaelab.tracking.follower import FILE, Follower
from vaelab.tracking.tracker import make

LOCK = "tracking.lock"
PERIOD = 1.0  # seconds between two looks at the folder
PATIENCE = 30.0  # seconds that trackers may take once the training is over


def track(run: str | Path, specs: Iterable[Spec], *, follow: bool = False, done: int | None = None) -> dict[str, int]:
    """Send what is new in a run folder; the numbers of rows, pictures and final numbers that were sent.

    With `follow`, go on until the run has ended; a tracker that hangs then ends this process, which is to be its own.
    In a run that was resumed after step `done`, what was sent of later steps is to be forgotten, where a tracker can.
    A tracker that fails is a note then, and without `follow` a VaelabError, once the others are through. Where to look
    and notes go to standard output.
    """
    folder, trackers, output = RunFolder.read(run), make(specs), sys.stdout

    def say(text: str) -> None:
        with suppress(OSError):  # nobody listens to a training that was killed
            print(text, file=output, flush=True)

    with ExitStack() as alone, redirect_stdout(sys.stderr):  # for two would send all twice; what the services print
        with suppress(OSError):  # of a folder that cannot be written
            alone.enter_context(held(folder.path / LOCK, "tracked", PATIENCE if follow else 0.0))
        followers, kept = [Follower(folder, name, tracker, done) for name, tracker in trackers.items()], True
        for ended in _looks(folder.path, follow):
            for one in followers:
                before = one.is_open, one.failed
                one.send(ended)
                if one.is_open and not before[0] and one.tracker.view:
                    say(f"tracking: {one.tracker.view}")
                if follow and one.failed and not before[1]:
                    say(f"note: {one.failed}")
            kept = _store(folder.path, followers)
            if all(one.failed for one in followers):
                break
    faulthandler.cancel_dump_traceback_later()
    if not follow and (failed := [one.failed for one in followers if one.failed]):
        raise VaelabError("; ".join(failed))
    for remark in _remarks(folder, followers, kept, follow):
        say(f"note: {remark}")
    return {what: sum(one.counts[what] for one in followers) for what in ("rows", "pictures", "numbers")}


def _looks(folder: Path, follow: bool) -> Iterator[RunFolder | None]:
    """None once a second while the run goes on, then its folder as it ended; without `follow` that at once."""
    while follow and read_state(folder, False).word == "running":
        yield None
        time.sleep(PERIOD)
    if follow:
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=2)
    yield RunFolder.read(folder)


def _remarks(folder: RunFolder, followers: list[Follower], kept: bool, follow: bool) -> Iterator[str]:
    """Sentences on what was not sent or written down."""
    if not kept:
        yield f"{folder.path} cannot be written, so all of it will be sent again next time"
    if not follow:
        if idle := [one.name for one in followers if not one.is_open]:
            yield f"{' and '.join(idle)} has it all already; delete {folder.path / FILE} to send it again"
        yield from folder.problems


def _store(folder: Path, followers: list[Follower]) -> bool:
    """Write down how far the trackers are that were opened; whether that can be done."""
    found = {one.name: one.sent.model_dump() for one in followers if one.is_open}
    text = json.dumps(read_object(folder / FILE) | found, indent=1)
    try:
        write_whole(folder / FILE, lambda file: file.write_text(text + "\n") and None)
    except VaelabError:  # a full disk is the training's to say
        return False
    return True
