"""Ctrl-C, a polite kill and a terminal that is closed, held back until the step is done."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupt:
    """While entered, the first SIGINT, SIGTERM or SIGHUP only raises a flag; the second acts at once.

    A SIGHUP that is ignored, as under nohup, stays so.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            heeded = [signal.SIGINT, signal.SIGTERM]
            if os.name == "posix" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                heeded.append(signal.SIGHUP)
            self._before = {s: signal.signal(s, self._note) for s in heeded}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __exit__(self, *_: object) -> None:
        self._restore()
