"""The state of a run: what its training wrote, checked against the process that should be alive."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vaelab.errors import VaelabError
from vaelab.io.files import is_process, read_object, write_whole
from vaelab.runs.log import finite

FILE = "state.json"
SILENT = 3600  # seconds without a new row after which a process that cannot be seen counts as gone

Fail = Callable[[BaseException], None]  # to be told why
GONE = "its process is gone and left no word: killed, or the machine went down; it can be resumed"


class State(NamedTuple):
    """`running`, `done`, `stopped`, `failed`, `killed` or `unknown`; why; seconds of training; last sign of life.

    `diverged` is the term that was no finite number, and its step, where that is why.
    """

    word: str
    reason: str
    seconds: float | None
    seen: float
    diverged: tuple[str, int] | None = None


@contextmanager
def recorded(folder: Path) -> Iterator[Fail]:
    """Keep `state.json` true while a run is trained: running with its process, then done, stopped or failed.

    What is given writes why it failed, where that cannot be raised here. A process that is killed writes nothing more;
    `read_state` sees that it is gone. A run that was done already, and gained no row, took no time.
    """
    found, rows = read_object(folder / FILE), _logged(folder)
    began, before = time.time(), _told(found, folder, False).seconds or 0.0  # also those of a process that was killed
    _write(folder, {"state": "running", "began": began, "seconds": before} | this_process())

    def close(state: str, **why: Any) -> None:
        _write(folder, {"state": state, "reason": "", "seconds": round(before + time.time() - began, 1)} | why)

    def fail(error: BaseException) -> None:
        word = "stopped" if getattr(error, "exit_code", 0) == 2 or isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(Exception):  # the error itself counts more
            (folder / FILE).stat()  # a folder that was removed is not made again
            fields = error.fields if isinstance(error, VaelabError) else {}
            close(word, reason=str(error) or type(error).__name__, error={"kind": type(error).__name__} | fields)

    try:
        yield fail
    except BaseException as error:
        fail(error)
        raise
    if found.get("state") == "done" and _logged(folder) == rows:
        _write(folder, found)
    else:
        close("done")


def read_state(folder: Path, reached_end: bool) -> State:
    """The state of a run folder; where its training left no word, its log and whether it reached the end decide."""
    return _told(read_object(folder / FILE), folder, reached_end)


def this_process() -> dict[str, Any]:
    """This process, as `is_alive` knows it again."""
    return {"pid": os.getpid(), "born": _born(os.getpid()), "host": socket.gethostname()}


def is_alive(found: Mapping[str, Any], silence: float) -> bool:
    """Whether the process of that identity is there: on this machine by its number and birth, else by its last sign."""
    if not _is_here(found):
        return silence < SILENT
    return is_process(found["pid"]) and _born(found["pid"]) == found.get("born", "")


def _told(found: Mapping[str, Any], folder: Path, reached_end: bool) -> State:
    """The state of a run folder whose state file holds `found`."""
    times = [(folder / name).stat().st_mtime for name in ("log.jsonl", FILE, "recipe.yaml") if (folder / name).exists()]
    seen = max(times, default=folder.stat().st_mtime)
    word, seconds, reason = found.get("state"), finite(found, "seconds"), str(found.get("reason") or "")
    began = finite(found, "began") or seen
    silence = time.time() - seen
    if word in ("done", "stopped", "failed"):
        return State(word, reason, seconds, seen, _diverged(found))
    if word == "running" and is_alive(found, silence):
        return State("running", "", (seconds or 0.0) + time.time() - began, seen)
    if word == "running":
        lasted = (seconds or 0.0) + max(0.0, seen - began)
        return State("killed", GONE, lasted, seen)
    if reached_end:
        return State("done", "", None, seen)
    if not (folder / "log.jsonl").exists():
        return State("unknown", "", None, seen)
    if silence < SILENT / 6:
        return State("running", "", None, seen)
    return State("stopped", "it ended before its last epoch and left no word why", None, seen)


def _diverged(found: Mapping[str, Any]) -> tuple[str, int] | None:
    """What `recorded` wrote of a divergence, earlier versions by that name; None for whatever else stands there."""
    error = found.get("error", found.get("diverged"))
    step = finite(error, "step") if isinstance(error, dict) and error.get("kind", "Diverged") == "Diverged" else None
    return None if step is None else (str(error.get("term", "")), int(step))


def _is_here(found: Mapping[str, Any]) -> bool:
    """Whether a process can be looked up by its number: it was of this machine."""
    return found.get("host") == socket.gethostname() and os.name == "posix" and isinstance(found.get("pid"), int)


def _born(pid: int) -> str:
    """When a process began, in clock ticks, which tells it from a later one of its number.

    "" where /proc is not, and of one that has ended and is only kept until its parent asks for it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return ""


def _logged(folder: Path) -> int:
    """Bytes of the log."""
    return (folder / "log.jsonl").stat().st_size if (folder / "log.jsonl").exists() else 0


def _write(folder: Path, found: dict[str, Any]) -> None:
    write_whole(folder / FILE, lambda file: file.write_text(json.dumps(found, default=str) + "\n") and None)
