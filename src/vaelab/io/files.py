"""Files and folders: read as data, locked, and written whole or not at all."""

import contextlib
import errno
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vaelab.errors import Damaged, Unwritable, UsageError, VaelabError

HOUR = 3600
_BEGAN = time.time()
_HOST = socket.gethostname()[-20:]
_TEMPORARY = re.compile(r"\..+\.(\d+)-\d+@(.*)\.tmp")


def expanded(path: str | os.PathLike) -> Path:
    """A path in which ~ is the user's home; where that is nobody's, it is a name like others."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def parse_json(text: str | bytes) -> Any:
    """What a JSON text holds; ValueError for one that is none, or is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where the file is missing, damaged or holds something else."""
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def lock(file: IO[Any]) -> None:
    """Hold an open file alone until it is closed or this process ends, however it does.

    BlockingIOError where another holds it, any other OSError where nothing can be locked.
    """
    try:
        import fcntl
    except ImportError as error:  # no Unix
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)) from error
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary neighbour and move it over `path`, which therefore is never half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}@{_HOST}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_remains(path.parent)
        write(temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise disk_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_remains(folder: Path) -> None:
    """Remove what `write_whole` had begun to write into a folder when its process was killed."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if (found := _TEMPORARY.fullmatch(path.name)) and not _is_written(path, int(found[1]), found[2]):
                path.unlink()


def is_process(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the latter of a number that no process has
        return False
    except OSError:  # somebody else's
        pass
    return True


def _is_written(temporary: Path, pid: int, host: str) -> bool:
    """Whether its process is there; where that cannot be looked up, whether the file was changed within the hour."""
    changed = temporary.stat().st_mtime
    if host != _HOST or os.name != "posix":
        return time.time() - changed < HOUR
    return changed >= _BEGAN if pid == os.getpid() else is_process(pid)  # containers give each life the same number


def check_writable(path: Path) -> None:
    """Raise what `write_whole` would where no file can be put, before work that ends with writing one."""
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        if path.is_dir():
            raise IsADirectoryError(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: Path, error: Exception) -> VaelabError:
    """What to say when a file cannot be written."""
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
        error = error.__context__  # torch tells where it stopped writing an archive, and not why
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        reason = "it is a folder; name a file in it" if path.is_dir() else f"{path.parent} is no folder; correct it"
        return UsageError(f"could not write {path}: {reason}, or choose another place")
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    told = getattr(error, "strerror", None) or str(error)  # without the name of a temporary neighbour
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    reason = "the disk is full" if full else lines[0] if lines else type(error).__name__
    return Unwritable(path, reason, "free some space" if full else "make the place writable")


@contextmanager
def parsing(path: Path, fix: str = "") -> Iterator[None]:
    """Turn whatever a parser stumbles over in a broken file into the error of a damaged file, which has a `fix`."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except PermissionError as error:
        raise UsageError(f"{path} may not be read by you; change its permissions") from error
    except Exception as error:  # parsers of broken files raise anything from EOFError to zlib.error
        raise Damaged(path, f"{type(error).__name__}: {error}", fix) from error
