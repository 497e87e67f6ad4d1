"""Sets of images: found or downloaded, checked, split, and kept as uint8 tensors."""

import os
from typing import Any

from vaelab.data.source import Dataset, Source
from vaelab.errors import UsageError
from vaelab.registry import discover
from vaelab.registry.schema import build

discover(__name__)


def load(name: str, directory: str | os.PathLike | None = None, **options: Any) -> Dataset:
    """The set registered as `name`, with the options that a recipe may give it (`vaelab list data`).

    `directory` is where its files are looked for first, laid out as `<directory>/<name>/…`; then come the
    folder in `VAELAB_DATA`, the user's cache, and a download. Raises UsageError for a wrong option or a
    missing file.
    """
    plain = {key: os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in options.items()}
    return load_set({"kind": name, **plain}, directory)


def load_set(spec: Any, directory: str | os.PathLike | None = None, where: str = "data") -> Dataset:
    """The set that a recipe describes, as in its section `where`; see `load`."""
    return source_of(spec, where).load(directory)


def source_of(spec: Any, where: str = "data") -> Source:
    """The set that a recipe describes, not loaded yet; UsageError where the part is of another kind."""
    source = build("data", spec, where)
    if not isinstance(source, Source):
        raise UsageError(f"{where}: {type(source).__name__} is no Source; register a class derived from that")
    return source
