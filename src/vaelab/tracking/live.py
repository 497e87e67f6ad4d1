"""Trackers beside a training, in a process of their own, so that none of them can stop it, slow it or outlive it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vaelab.errors import VaelabError
from vaelab.io.progress import note, say
from vaelab.registry import part
from vaelab.registry.plugins import MODULE, load_plugin
from vaelab.registry.schema import Part
from vaelab.tracking.follow import CHATTER, Follower
from vaelab.tracking.tracker import make

PERIOD = 1.0  # seconds between two looks at the folder
PATIENCE = 30.0  # seconds that trackers may take once the training is over
LATER = "vaelab track sends the rest"


@contextmanager
def followed(folder: Path, specs: list[Any], done: int | None = None) -> Iterator[None]:
    """Track what is written into a folder meanwhile; `done` is the step from which a resumed run learns on.

    The process sees the folder alone. It gets the training's last word through a pipe, which also closes when the
    training is killed; then it sends what is there, and ends.
    """
    if not specs:
        yield
        return
    task = {"folder": str(folder), "specs": specs, "done": done, "plugins": _plugins(specs), "patience": PATIENCE}
    try:
        child = _start(task)
    except OSError as error:
        note(f"not tracked: {error}; {LATER}")
        yield
        return
    talk = threading.Thread(target=_pass_on, args=(child.stderr,), daemon=True)
    talk.start()
    state = "failed"
    try:
        yield
        state = "done"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 0) == 2:
            state = "stopped"
        raise
    finally:
        _finish(child, state)
        talk.join(1.0)


def serve() -> None:
    """In that process: look, send, and look again until the training is over, however it ends."""
    task = json.loads(sys.argv[1])
    folder = Path(task["folder"])
    words = os.fdopen(os.dup(2), "w", buffering=1)
    with (folder / CHATTER).open("a") as chatter:
        os.dup2(chatter.fileno(), 1)
        os.dup2(chatter.fileno(), 2)
    if hasattr(os, "nice"):
        os.nice(10)  # the training comes first
    over, state = threading.Event(), []
    threading.Thread(target=_listen, args=(over, state, task["patience"], words), daemon=True).start()
    try:
        for path in task["plugins"]:
            load_plugin(path)
        trackers, patience = make(task["specs"]), task["patience"]  # for those of a training that was killed before
        follower = Follower(folder, trackers, lambda text: _say(text, words), patience)
        follower.begin(task["done"])
        while follower.trackers and not over.wait(PERIOD):
            follower.poll()
        if follower.trackers:
            follower.poll(last=True)
            follower.end(state[0])
    except VaelabError as error:
        _say(f"note: not tracked: {error}", words)
    if not (folder / CHATTER).stat().st_size:
        (folder / CHATTER).unlink()


def _start(task: dict[str, Any]) -> subprocess.Popen[str]:
    """Apart from the terminal, so that Ctrl-C ends the training and not what tells of it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", "from vaelab.tracking.live import serve; serve()", json.dumps(task)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def _finish(child: subprocess.Popen[str], state: str) -> None:
    """Say how the training ended, and wait, but not for ever."""
    try:
        with contextlib.suppress(OSError, ValueError):  # it may be gone
            print(state, file=child.stdin, flush=True)
            child.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        child.wait(PATIENCE + 5)
    except subprocess.TimeoutExpired:
        pass
    finally:
        child.kill()  # which a process that has ended does not feel
    if child.wait():
        note(f"the process that tracks ended early ({child.returncode}); {LATER}")


def _listen(over: threading.Event, state: list[str], patience: float, words: IO[str]) -> None:
    """Wait for the last word of the training; one that was killed leaves none."""
    state.append(sys.stdin.read().strip() or "killed")
    over.set()
    limit = threading.Timer(patience, _leave, (patience, words))
    limit.daemon = True
    limit.start()


def _leave(patience: float, words: IO[str]) -> None:
    _say(f"note: tracking had {patience:g} s at the end and was not through; {LATER}", words)
    os._exit(0)


def _say(text: str, words: IO[str]) -> None:
    with contextlib.suppress(OSError):  # nobody listens to a training that was killed
        print(text, file=words, flush=True)


def _pass_on(lines: IO[str] | None) -> None:
    for line in lines or ():
        say(line.rstrip("\n"))


def _plugins(specs: list[Any]) -> list[str]:
    """The files of trackers that plugins brought."""
    modules = {part("tracker", str(Part.of(spec))).__module__ for spec in specs}
    return [str(sys.modules[name].__file__) for name in modules if name.startswith(MODULE)]
