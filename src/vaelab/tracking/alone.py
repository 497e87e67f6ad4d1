"""One follower of a run folder at a time: two would send everything twice and write over each other's marks."""

import time
from pathlib import Path
from typing import IO

from vaelab.errors import UsageError

LOCK = "tracking.json.lock"
PERIOD = 0.2  # seconds between two tries


def claim(folder: Path, patience: float = 0.0) -> IO[str] | None:
    """A file that holds the folder until it is closed, or its process ends; None where nothing can be locked.

    Raises UsageError if another still holds the folder after `patience` seconds.
    """
    try:
        import fcntl

        file = (folder / LOCK).open("a")
    except (ImportError, OSError):  # no Unix, or a folder that cannot be written
        return None
    last = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= last:
                file.close()
                raise UsageError(_taken(folder)) from None
            time.sleep(PERIOD)
        except OSError:  # a file system without locks
            return file


def _taken(folder: Path) -> str:
    return f"{folder} is being tracked already, by its training or another vaelab track; wait until that has ended"
