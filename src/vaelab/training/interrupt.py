"""Ctrl-C and a polite kill, held back until the step is done."""

import signal
import threading
from types import FrameType
from typing import Self


class Interrupt:
    """While entered, the first SIGINT or SIGTERM only raises a flag; the second acts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._before = {}

    def __exit__(self, *_: object) -> None:
        self._restore()
