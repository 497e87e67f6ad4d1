"""One follower of a run folder at a time: two would send everything twice and write over each other's marks."""

import time
from pathlib import Path
from typing import IO

from vaelab.errors import UsageError
from vaelab.io.files import lock

LOCK = "tracking.json.lock"
PERIOD = 0.2  # seconds between two tries


def claim(folder: Path, patience: float = 0.0) -> IO[str] | None:
    """A file that holds the folder until it is closed, or its process ends; None where nothing can be locked.

    Raises UsageError if another still holds the folder after `patience` seconds.
    """
    try:
        file = (folder / LOCK).open("a")
    except OSError:  # a folder that cannot be written
        return None
    last = time.monotonic() + patience
    while True:
        try:
            lock(file)
            return file
        except BlockingIOError:
            if time.monotonic() >= last:
                file.close()
                raise UsageError(_taken(folder)) from None
            time.sleep(PERIOD)
        except OSError:  # nothing can be locked here
            return file


def _taken(folder: Path) -> str:
    return f"{folder} is being tracked already, by its training or another vaelab track; wait until that has ended"
