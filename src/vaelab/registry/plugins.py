"""Plugins: files that register parts; kept with a run that is trained, and found again when it is opened.

A plugin is a program, and a run folder may come from anybody. One that the user does not name is therefore run only if
it has the sha256 of a plugin that this user has named before, to train or to open a run: a copy of each of those lies
in the cache, and its content is what runs. The copy in a run folder is there to be read, and then named.
"""

import contextlib
import re
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from vaelab.errors import NeedsPlugin, UsageError, VaelabError
from vaelab.io import files, places
from vaelab.io.hashing import bytes_hash
from vaelab.registry.bases import adopting

FOLDER = "plugins"  # of a run, and of the cache
MODULE = "vaelab_plugin_"  # with which the names of their modules begin
_SHA256 = re.compile("[0-9a-f]{64}")
Record = dict[str, str]  # of a run: the `path` where a plugin lay, and its `sha256`


@dataclass(frozen=True)
class Plugin:
    """A Python file that registers parts: where it lies, what stood in it, and whether the user has named it."""

    path: Path
    source: bytes
    named: bool = True

    @property
    def sha256(self) -> str:
        """Of its content."""
        return bytes_hash([self.source])

    @property
    def kept(self) -> Path:
        """Where the cache has it once the user has named it."""
        return _kept({"path": str(self.path), "sha256": self.sha256})

    @property
    def of_run(self) -> bool:
        """Whether it is a run's, which may be older than today's rules for parts, and not one that is being written."""
        beside = self.path.parent.parent / "recipe.yaml"
        return not self.named or (self.path.parent.name == FOLDER and beside.is_file())

    def run(self) -> None:
        """Run what stood in it, which is neither read again nor taken from a compiled file beside it."""
        module = ModuleType(f"{MODULE}{self.path.stem}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module  # dataclasses look their module up
        try:
            with adopting() if self.of_run else contextlib.nullcontext():
                exec(compile(self.source, self.path, "exec"), module.__dict__)
        except UsageError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise UsageError(f"plugin {self.path} fails when imported: {said}; mend it") from error
        _PRESENT[self.path.name] = self


_PRESENT: dict[str, Plugin] = {}  # those that ran in this process, by the names of their files


def load_plugin(path: str | Path) -> None:
    """Run a Python file, so that the parts in it are registered."""
    if Path(path).suffix != ".py" or not Path(path).is_file():
        raise UsageError(f"no plugin {str(path)!r}; name a Python file that registers parts")
    Plugin(Path(path).resolve(), Path(path).read_bytes()).run()


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Run several Python files; runs know them by their names, which therefore differ."""
    names = [path.name for path in {Path(path).resolve() for path in paths}]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise UsageError(f"two plugins are called {twice[0]}, and a run knows them by their names; rename one")
    for path in paths:
        load_plugin(path)


def plugin_records() -> list[Record]:
    """The plugins of this process, as a run notes them."""
    for plugin in _PRESENT.values():
        _trust(plugin)
    return [{"path": str(plugin.path), "sha256": plugin.sha256} for plugin in _PRESENT.values()]


def copy_plugins(folder: Path) -> None:
    """Copy the plugins of this process into a run's folder."""
    for name, plugin in _PRESENT.items():
        files.write_whole(folder / FOLDER / name, lambda file, plugin=plugin: file.write_bytes(plugin.source))


@contextmanager
def with_plugins(noted: Any, folder: Path) -> Iterator[None]:
    """Have the plugins that a run has noted run, and its recipe read within; errors then name one that is missing."""
    missing = [record for record in _records(noted) if not _found(record)]
    try:
        yield
    except UsageError as error:
        if not missing:
            raise
        raise _needed(missing[0], folder, error) from error


@contextmanager
def explained() -> Iterator[None]:
    """An error in a plugin's code as one sentence that names file and line; files and memory that lack stay theirs."""
    try:
        yield
    except (VaelabError, OSError, MemoryError):
        raise
    except Exception as error:
        ours = {str(plugin.path) for plugin in _PRESENT.values()}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in ours]
        if not frames:
            raise
        place = f"{frames[-1].filename}, line {frames[-1].lineno}"
        raise UsageError(f"the plugin {place}: {type(error).__name__}: {error}; mend it there") from error


def _records(noted: Any) -> list[Record]:
    """What a run has noted, as far as it can be that: anybody may have written it."""
    records = [r for r in noted if isinstance(r, dict)] if isinstance(noted, list) else []
    return [r for r in records if isinstance(r.get("path"), str) and _SHA256.fullmatch(str(r.get("sha256")))]


def _found(record: Record) -> bool:
    """Whether a plugin has run, and be it now, where that is safe; what the user has named himself stays."""
    path, kept = Path(record["path"]), _kept(record)
    present = _PRESENT.get(path.name)
    if present and present.sha256 == record["sha256"]:
        _trust(present)
        return True
    if present and present.named:
        warnings.warn(f"this run was trained with another {path.name} than {present.path}", stacklevel=2)
        return True
    source = _read(kept)
    if bytes_hash([source]) != record["sha256"]:
        return False
    same = _read(path) == source
    if path.is_file() and not same:
        warnings.warn(f"{path} has changed since this run was trained; what it was then is used", stacklevel=2)
    Plugin(path if same else kept, source, named=False).run()
    return True


def _needed(record: Record, folder: Path, error: UsageError) -> NeedsPlugin:
    name = Path(record["path"]).name
    copy = folder / FOLDER / name
    what = f"{name} (sha256 {record['sha256'][:12]}…), a program that you have not run before; without it, {error}"
    return NeedsPlugin(f"this run needs its plugin {what}", copy if copy.is_file() else None)


def _trust(plugin: Plugin) -> None:
    """Keep a plugin that the user has named; where the cache cannot be written, it must be named each time."""
    if plugin.named and _read(plugin.kept) != plugin.source:
        with contextlib.suppress(VaelabError):
            files.write_whole(plugin.kept, lambda file: file.write_bytes(plugin.source))


def _kept(record: Record) -> Path:
    return places.cache() / FOLDER / record["sha256"] / Path(record["path"]).name


def _read(path: Path) -> bytes:
    """What a file holds; nothing where there is none."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""
