"""Files: found in the user's folders, the cache or a download; checked by hash; written whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from vaelab.errors import Damaged, Unavailable, Unwritable, UsageError, VaelabError
from vaelab.io.progress import Bar

Folder = str | os.PathLike | None  # what a user may give as the data directory
_GIVEN: ContextVar[Folder] = ContextVar("given", default=None)
HOUR = 3600
_BEGAN = time.time()
_HOST = socket.gethostname()[-20:]
_TEMPORARY = re.compile(r"\..+\.(\d+)-\d+@(.*)\.tmp")


@dataclass(frozen=True)
class File:
    """A published file: its place below a data directory, its address, and its md5 where that is known."""

    path: str
    url: str
    md5: str | None = None


def cache() -> Path:
    """The user's cache: downloads and decoded folders, all of which may be deleted at any time."""
    import pooch

    return Path(pooch.os_cache("vaelab"))


@contextmanager
def also_in(directory: Folder) -> Iterator[None]:
    """Search this data directory too, wherever files are looked for meanwhile."""
    token = _GIVEN.set(directory)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def expanded(path: str | os.PathLike) -> Path:
    """A path in which ~ is the user's home; where that is nobody's, it is a name like others."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def places(directory: Folder = None) -> list[Path]:
    """The data directories in the order they are searched: the explicit one, `VAELAB_DATA`, the user's cache.

    Raises UsageError where one that the user named does not exist, because a misspelt one would pass
    unnoticed.
    """
    named = [("the data directory", directory or _GIVEN.get()), ("VAELAB_DATA", os.environ.get("VAELAB_DATA"))]
    found = []
    for what, folder in named:
        if folder and not expanded(folder).is_dir():
            raise UsageError(f"{what} {os.fspath(folder)!r} is not a folder; create it or correct the path")
        found += [expanded(folder)] if folder else []
    return [*found, cache()]


def locate(path: str, directory: Folder = None) -> Path | None:
    """The first file of that relative path in the data directories, or None."""
    return next((place / path for place in places(directory) if (place / path).is_file()), None)


def fetch(file: File, directory: Folder = None, check: Callable[[Path], object] = lambda path: None) -> Path:
    """The file, downloaded into the cache if it is nowhere yet; its md5 is verified each time (20 ms for MNIST).

    What is downloaded is kept only if `check`, such as its parser, does not refuse it; give one where no md5 is known.
    Raises VaelabError for a file that is not to be had, naming every place, and UsageError for one that is damaged.
    """
    path = locate(file.path, directory)
    if path is None:
        return _download(file, directory, check)
    _verify(path, file)
    return path


def _verify(path: Path, file: File) -> None:
    if file.md5 is None:
        return
    with parsing(path), path.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != file.md5:
        size = path.stat().st_size
        raise Damaged(path, f"its {size:,} bytes have the md5 {md5} and should have {file.md5}")


def short_hash(path: Path) -> str:
    """The first 12 digits of a file's sha256, by which numbers know the weights that they are of."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


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
def parsing(path: Path) -> Iterator[None]:
    """Turn whatever a parser stumbles over in a broken file into the error of a damaged file."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except PermissionError as error:
        raise UsageError(f"{path} may not be read by you; change its permissions") from error
    except Exception as error:  # parsers of broken files raise anything from EOFError to zlib.error
        raise Damaged(path, f"{type(error).__name__}: {error}") from error


def _download(file: File, directory: Folder, check: Callable[[Path], object]) -> Path:
    """Into the cache; a download that breaks off, or is something else, leaves nothing behind."""
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    target = cache() / file.path

    def receive(partial: Path) -> None:
        with Bar(f"downloading {file.path}") as bar:
            downloader: Any = pooch.HTTPDownloader(progressbar=cast(bool, bar), chunk_size=2**16)
            try:
                pooch.retrieve(file.url, None, partial.name, partial.parent, downloader=downloader)
                _refuse_page(partial)
                _verify(partial, file)
                check(partial)
            except RequestException as error:  # no network, no such file, or sent on to what is no web address
                raise _unavailable(file, directory, type(error).__name__) from error
            except Damaged as error:
                raise _unavailable(file, directory, f"it sent something else: {error.reason}") from error

    write_whole(target, receive)
    return target


def _refuse_page(path: Path) -> None:
    """Damaged for what servers send in the place of a file that they do not have."""
    with path.open("rb") as file:
        head = file.read(100).lstrip().lower()
    if not head:
        raise Damaged(path, "it is empty")
    if head.startswith((b"<!doctype html", b"<html")):
        raise Damaged(path, "it is a web page")


def _unavailable(file: File, directory: Folder, why: str) -> VaelabError:
    """Not the user's mistake."""
    looked = " or ".join(map(str, places(directory)))
    target = places(directory)[0] / file.path
    problem = f"{file.path} is not in {looked}, and downloading {file.url} failed ({why})"
    return Unavailable(problem, f"get it there and save it as {target}")
