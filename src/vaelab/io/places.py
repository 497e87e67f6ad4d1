"""Published files: found in the data directories of a user or the cache, else downloaded, and checked by their hash."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vaelab.errors import Damaged, Unavailable, UsageError, VaelabError
from vaelab.io.files import expanded, parsing, write_whole
from vaelab.io.hashing import file_hash
from vaelab.io.progress import Bar

_PACKAGE = Path(__file__).parents[1]
SHIPPED = next((p for p in (_PACKAGE / "recipes", _PACKAGE.parents[1] / "recipes") if p.is_dir()), _PACKAGE / "recipes")
Directory = str | os.PathLike | None  # of data, as a user may give one
_GIVEN: ContextVar[Directory] = ContextVar("given", default=None)


@dataclass(frozen=True)
class File:
    """A published file: its place below a data directory, its address, and its md5 where that is known."""

    path: str
    url: str
    md5: str | None = None


def shipped_names() -> list[str]:
    """The recipes that come with vaelab."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def cache() -> Path:
    """The user's cache: downloads and decoded folders, all of which may be deleted at any time."""
    import pooch

    return Path(pooch.os_cache("vaelab"))


@contextmanager
def also_in(directory: Directory) -> Iterator[None]:
    """Search this data directory too, wherever files are looked for meanwhile."""
    token = _GIVEN.set(directory)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def places(directory: Directory = None) -> list[Path]:
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


def locate(path: str, directory: Directory = None) -> Path | None:
    """The first file of that relative path in the data directories, or None."""
    return next((place / path for place in places(directory) if (place / path).is_file()), None)


def fetch(file: File, directory: Directory = None, check: Callable[[Path], object] = lambda path: None) -> Path:
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
    with parsing(path):
        md5 = file_hash(path, "md5")
    if md5 != file.md5:
        size = path.stat().st_size
        raise Damaged(path, f"its {size:,} bytes have the md5 {md5} and should have {file.md5}")


def _download(file: File, directory: Directory, check: Callable[[Path], object]) -> Path:
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


def _unavailable(file: File, directory: Directory, why: str) -> VaelabError:
    """Not the user's mistake."""
    looked = " or ".join(map(str, places(directory)))
    target = places(directory)[0] / file.path
    problem = f"{file.path} is not in {looked}, and downloading {file.url} failed ({why})"
    return Unavailable(problem, f"get it there and save it as {target}")
