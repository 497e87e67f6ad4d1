"""The state of a run: what its training wrote, checked against the process that should be alive."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vaelab.files import write_whole

FILE = "state.json"
SILENT = 3600  # seconds without a new row after which a process that cannot be seen counts as gone

GONE = "its process is gone and left no word: killed, or the machine went down; carry on with --resume"


class State(NamedTuple):
    """`running`, `done`, `stopped`, `failed` or `killed`; why; seconds of training, where known; last sign of life."""

    word: str
    reason: str
    seconds: float | None
    seen: float


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Keep `state.json` true while a run is trained: running with its process, then done, stopped or failed.

    A process that is killed writes nothing more; `read_state` sees that it is gone.
    """
    began, before = time.time(), _read(folder).get("seconds") or 0.0
    me = {"pid": os.getpid(), "born": _born(os.getpid()), "host": socket.gethostname()}
    _write(folder, {"state": "running", "began": began, "seconds": before} | me)

    def close(state: str, reason: str = "") -> None:
        _write(folder, {"state": state, "reason": reason, "seconds": round(before + time.time() - began, 1)})

    try:
        yield
    except BaseException as error:
        word = "stopped" if getattr(error, "exit_code", 0) == 2 or isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(Exception):  # the error itself counts more
            close(word, str(error) or type(error).__name__)
        raise
    close("done")


def read_state(folder: Path, reached_end: bool) -> State:
    """The state of a run folder; where its training left no word, whether the log reached the recipe's end decides."""
    found, seen = _read(folder), _last_change(folder)
    word, seconds, reason = found.get("state"), found.get("seconds"), str(found.get("reason") or "")
    silence = time.time() - seen
    if word in ("done", "stopped", "failed"):
        return State(word, reason, seconds, seen)
    if word == "running" and _alive(found, silence):
        return State("running", "", (seconds or 0.0) + time.time() - found.get("began", seen), seen)
    if word == "running":
        lasted = (seconds or 0.0) + max(0.0, seen - found.get("began", seen))
        return State("killed", GONE, lasted, seen)
    if reached_end:
        return State("done", "", None, seen)
    if silence < SILENT / 6:
        return State("running", "", None, seen)
    return State("stopped", "it ended before its last epoch and left no word why", None, seen)


def _alive(found: dict[str, Any], silence: float) -> bool:
    """Whether the process of a running run is there: on this machine by its number and birth, else by fresh rows."""
    pid = found.get("pid")
    if found.get("host") != socket.gethostname() or os.name != "posix" or not isinstance(pid, int):
        return silence < SILENT
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return _born(pid) == found.get("born", "")


def _born(pid: int) -> str:
    """When a process began, in clock ticks, which tells it from a later one of its number; "" where /proc is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _last_change(folder: Path) -> float:
    times = [(folder / name).stat().st_mtime for name in ("log.jsonl", FILE, "recipe.yaml") if (folder / name).exists()]
    return max(times, default=folder.stat().st_mtime)


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(folder: Path, found: dict[str, Any]) -> None:
    write_whole(folder / FILE, lambda file: file.write_text(json.dumps(found) + "\n") and None)
