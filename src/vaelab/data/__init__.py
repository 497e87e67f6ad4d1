"""Sets of images: found or downloaded, checked, split, and kept as uint8 tensors."""

import os
from typing import Any

from vaelab.data.source import Dataset
from vaelab.registry import build, discover

discover(__name__)


def load(name: str, directory: str | os.PathLike | None = None, **options: Any) -> Dataset:
    """The set registered as `name`, with the options that a recipe may give it (`vaelab list data`).

    `directory` is where its files are looked for first, laid out as `<directory>/<name>/…`; then come the
    folder in `VAELAB_DATA`, the user's cache, and a download. Raises UsageError for a wrong option or a
    missing file.
    """
    plain = {key: os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in options.items()}
    return build("data", {"kind": name, **plain}).load(directory)
