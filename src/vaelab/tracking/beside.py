"""The command `track` beside a training: a process of its own, which can neither stop it nor slow it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vaelab.io.progress import note, say
from vaelab.registry import part
from vaelab.registry.plugins import MODULE
from vaelab.registry.schema import Part
from vaelab.runs.state import Fail, recorded
from vaelab.tracking.follow import PATIENCE

CHATTER = "tracking.log"  # what the services print
LATER = "vaelab track sends the rest"


@contextmanager
def tracked(folder: Path, trackers: Sequence[Part], done: int | None = None) -> Iterator[Fail]:
    """Keep the state of a training while trackers follow it; `done` is the step from which a resumed run learns on.

    Trackers are waited for once the state says how it ended.
    """
    with ExitStack() as stack, recorded(folder) as fail:
        if trackers:
            try:
                stack.callback(_wait, folder, *_start(folder, trackers, done))
            except OSError as error:
                note(f"not tracked: {error}; {LATER}")
        yield fail


def _start(folder: Path, trackers: Sequence[Part], done: int | None) -> tuple[subprocess.Popen[str], threading.Thread]:
    """Apart from the terminal, so that Ctrl-C ends the training and not what tells of it, and after the training."""
    modules = {part("tracker", one.kind).__module__ for one in trackers}
    options = [("--to", str(one)) for one in trackers]
    options += [("--plugin", str(sys.modules[name].__file__)) for name in modules if name.startswith(MODULE)]
    options += [] if done is None else [("--rewind", str(done))]
    words = [word for pair in options for word in pair]
    with (folder / CHATTER).open("a") as chatter:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "vaelab", "track", str(folder), "--follow", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=chatter,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,
        )
    if sys.platform != "win32":
        os.setpriority(os.PRIO_PROCESS, child.pid, 10)
    talk = threading.Thread(target=lambda: [say(line.rstrip("\n")) for line in child.stdout or ()], daemon=True)
    talk.start()
    return child, talk


def _wait(folder: Path, child: subprocess.Popen[str], talk: threading.Thread) -> None:
    """Wait for the trackers, but not for ever."""
    problem, chatter = "", folder / CHATTER
    try:
        if child.wait(PATIENCE):
            problem = f"the process that tracks ended early ({child.returncode}), see {chatter}"
    except subprocess.TimeoutExpired:
        problem = f"tracking had {PATIENCE:g} s at the end and was not through"
    finally:
        child.kill()  # which a process that has ended does not feel
        talk.join(1.0)
    if problem:
        note(f"{problem}; {LATER}")
    elif chatter.exists() and not chatter.stat().st_size:
        chatter.unlink()
