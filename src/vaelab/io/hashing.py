"""Hashes, by which files, plain data and bytes are known again."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import nullcontext
from io import BufferedRandom
from pathlib import Path
from typing import Any


def file_hash(file: Path | BufferedRandom, kind: str = "sha256") -> str:
    """The hash of a file, or of what is left to read of an open one, in hexadecimal digits."""
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def short_hash(path: Path) -> str:
    """The first 12 digits of a file's sha256, by which numbers know the weights that they are of."""
    return file_hash(path)[:12]


def data_hash(data: Any) -> str:
    """The sha256 of plain data, in whatever order its keys are."""
    return bytes_hash([json.dumps(data, sort_keys=True).encode()])


def bytes_hash(parts: Iterable[bytes | memoryview]) -> str:
    """The sha256 of what the parts are together."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
