"""The claim of one training on its folder: made before anything is loaded, and gone with its process."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from vaelab.errors import UsageError
from vaelab.io.files import disk_error, lock, read_object, remove_remains
from vaelab.runs.state import is_alive, this_process

LOCK = "training.lock"
RETRY = 0.2  # seconds between two looks at who holds a path
TRIES = 100  # at a folder that others remove as they leave it


@contextmanager
def claimed(path: Path, *, new: bool = False) -> Iterator[Path]:
    """A folder, made where it is missing, that no other training has meanwhile; UsageError where one has it.

    `new` asks for one that was not there: `path`, or else `path`-2, `path`-3, …. What was made and is empty in the end
    is removed.
    """
    try:
        f"{path} {path.resolve().name}".encode()
    except UnicodeEncodeError as error:  # a name that a file system holds, and no file of a run
        raise UsageError(f"{path} is no text in UTF-8, as a run's folder has to be; choose another name") from error
    made: list[Path] = []
    try:
        with ExitStack() as stack:
            yield _enter(path, new, made, stack)
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # it is not empty
                place.rmdir()


def _enter(path: Path, new: bool, made: list[Path], stack: ExitStack) -> Path:
    """The folder, held until the stack is closed."""
    for left in reversed(range(TRIES)):
        try:
            folder = _new(path, made) if new else _make(path, made)
            stack.enter_context(held(folder / LOCK, "trained"))
            remove_remains(folder)
            return folder
        except OSError as error:
            if not isinstance(error, FileNotFoundError) or not left:
                raise disk_error(path, error) from error
    raise AssertionError("the last try returns or raises")


def _new(path: Path, made: list[Path]) -> Path:
    """A folder that was not there, which one process alone can make."""
    _make(path.parent, made)  # so that what exists below is the folder itself
    for number in count(1):
        with contextlib.suppress(FileExistsError):
            return _make(path if number == 1 else path.with_name(f"{path.name}-{number}"), made, exist_ok=False)
    raise AssertionError("there is always another number")


def _make(folder: Path, made: list[Path], exist_ok: bool = True) -> Path:
    """The folder; `made` learns what of it is new, the deepest first."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=exist_ok)
    made[:0] = missing
    return folder


@contextmanager
def held(path: Path, doing: str, patience: float = 0.0) -> Iterator[None]:
    """Keep others from holding the same path; UsageError if one has it still after so many seconds, which is `doing`.

    OSError where nothing can be written.
    """
    file = _locked(path, doing, time.monotonic() + patience)
    if file is None:
        path.unlink(missing_ok=True)
        with _named(path.with_suffix(".pid"), doing):
            yield
        return
    with file:
        try:
            yield
        finally:
            if _is_there(file, path):  # and not another's, in a folder put in the place of ours
                path.unlink()


def _locked(path: Path, doing: str, end: float) -> IO[str] | None:
    """The open file, locked until it is closed or our process ends; None where nothing can be locked."""
    while True:
        file = path.open("a")
        try:
            lock(file)
        except BlockingIOError:
            file.close()
            if time.monotonic() >= end:
                raise _taken(path, doing) from None
            time.sleep(RETRY)
            continue
        except OSError:
            file.close()
            return None
        if _is_there(file, path):
            with contextlib.suppress(OSError):  # a full disk is the training's to say
                path.write_text(json.dumps(this_process()))
            return file
        file.close()  # whoever held it has removed it meanwhile


@contextmanager
def _named(path: Path, doing: str) -> Iterator[None]:
    """Where nothing can be locked, the file itself is the lock for as long as the process that it names is there."""
    signs = [sign.stat().st_mtime for sign in (path, path.with_name("log.jsonl")) if sign.exists()]
    if signs and not is_alive(read_object(path), time.time() - max(signs)):
        path.unlink(missing_ok=True)
    try:
        with path.open("x") as file:
            file.write(json.dumps(this_process()))
    except FileExistsError:
        raise _taken(path, doing) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_there(file: IO[str], path: Path) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _taken(path: Path, doing: str) -> UsageError:
    process = read_object(path).get("pid")
    who = f"process {process}" if process else "another process"
    return UsageError(f"{path.parent} is being {doing} by {who}; wait for it or stop it")
