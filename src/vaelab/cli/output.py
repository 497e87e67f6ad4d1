"""Standard output and error of a command: they are always there, in any encoding, and with or without a reader."""

import io
import os
import sys
from typing import Any, TextIO

from vaelab.io.formatting import printable


def settle() -> None:
    """Let a command run to its end whoever reads what it prints.

    Standard error takes what it can. Standard output does so once its reader is gone, and says that a disk is full.
    """
    if os.name != "posix" or sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return
    for number in range(3):  # a closed one would be the number of the next file that is opened, and be printed into
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _stream(1, sys.stdout, BrokenPipeError)
    sys.stderr = _stream(2, sys.stderr, OSError)


def show(text: object) -> None:
    """Print a line; on a terminal without characters that it would obey."""
    print(printable(str(text)) if sys.stdout.isatty() else text)


class _Output(io.FileIO):
    """An open file that passes over some errors, and raises each of the others once."""

    def __init__(self, number: int, passed_over: type[OSError]) -> None:
        super().__init__(number, "w", closefd=False)
        self.passed_over = passed_over

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except self.passed_over:
            return memoryview(data).nbytes
        except OSError:
            self.passed_over = OSError
            raise


def _stream(number: int, before: TextIO | None, passed_over: type[OSError]) -> TextIO:
    """In the encoding that Python chose; what that lacks is spelled out."""
    at_once = number == 2 or os.isatty(number) or (isinstance(before, io.TextIOWrapper) and before.write_through)
    buffer = io.BufferedWriter(_Output(number, passed_over))
    return io.TextIOWrapper(buffer, before and before.encoding, "backslashreplace", line_buffering=at_once)
