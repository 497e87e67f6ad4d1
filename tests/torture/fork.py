"""A copy of this process that runs a function: warm at once, where a new interpreter imports for seconds."""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Never

import torch


class Fork:
    """A child that runs `act` on one thread and leaves with its exit code: 1, with a traceback, after an exception.

    `streams` become its stdin, stdout and stderr: open descriptors, or files to write.
    """

    def __init__(self, act: Callable[[], object], streams: Sequence[int | Path] = (), **environment: str) -> None:
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _inside(act, streams, environment)

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, seconds: float) -> int:
        """The same, once it has ended; TimeoutError, and a dead child, where that takes longer."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                self.end(signal.SIGKILL)
                raise TimeoutError(f"still running after {seconds} s")
            time.sleep(0.005)
        assert self.code is not None
        return self.code

    def send(self, number: int) -> None:
        """A signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """Kill it and forget it."""
        self.send(number)
        while self.poll() is None:
            time.sleep(0.005)


def command(words: Sequence[object], folder: Path) -> Callable[[], None]:
    """`vaelab WORDS`, typed in a folder."""

    def act() -> None:
        from vaelab.cli import main

        os.chdir(folder)
        sys.argv = ["vaelab", *map(str, words)]
        main()

    return act


def _inside(act: Callable[[], object], streams: Sequence[int | Path], environment: dict[str, str]) -> Never:
    """Run `act` in the child, and leave; whatever happens, none of the parent's frames go on here."""
    code: Any = 1
    try:
        for number, given in enumerate(streams):
            os.dup2(given if isinstance(given, int) else os.open(given, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdin, sys.stdout, sys.stderr = (open(i, "rww"[i], closefd=False) for i in range(3))  # noqa: SIM115
        os.environ.update(environment)
        torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
        act()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
