"""Tar shards: where the image of each sample lies in them, found once and kept in the user's cache."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vaelab.data.encoded.files import HIDDEN, SUFFIXES, stamp
from vaelab.data.shards.tar import Entry, members
from vaelab.errors import UsageError
from vaelab.io import files, places
from vaelab.io.hashing import data_hash
from vaelab.io.progress import in_threads

AUTO, NONE, JSON = "auto", "none", "json."
FORMAT = 1  # of what is kept; another makes all anew
LONGEST = 200  # bytes of a label
WHOLE, NO_IMAGE, NO_LABEL, SEVERAL, TWICE = range(5)  # what may be wrong with a sample


class Row(NamedTuple):
    """A sample in an index."""

    name: bytes
    offset: int
    size: int
    label: bytes
    wrong: int


def index_all(paths: list[Path], image: str, label: str) -> list[np.ndarray]:
    """The index of each shard."""
    return in_threads("indexing shards", lambda path: indexed(path, image, label), paths)


def indexed(path: Path, image: str, label: str) -> np.ndarray:
    """A row for each sample of a shard: `name`, `offset` and `size` of its image, `label` in bytes, what is `wrong`.

    `image` is AUTO or extensions with semicolons between them; `label` is AUTO, NONE, an extension, or JSON and the
    path of a field. From the cache, under `webdataset/`, or made now; UsageError for a shard that is no uncompressed
    tar, or ends too early.
    """
    key = data_hash([FORMAT, str(path), stamp(path), image, label])[:24]
    kept = places.cache() / "webdataset" / f"{key}.npy"
    if not kept.is_file():
        table = _table(path, image, label)
        files.write_whole(kept, lambda file: _save(file, table))
    with files.parsing(kept):
        return np.load(kept)


def _save(path: Path, table: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, table)


def _table(path: Path, image: str, label: str) -> np.ndarray:
    samples, twice = _samples(path)
    with path.open("rb") as file:
        rows = [_row(path, file.fileno(), found, image, label) for found in samples.values()]
    rows = [row._replace(wrong=TWICE) if key in twice else row for key, row in zip(samples, rows, strict=True)]
    name, value = (max([1, *map(len, column)]) for column in ([row.name for row in rows], [row.label for row in rows]))
    kinds = [f"S{name}", "<i8", "<i8", f"S{value}", "u1"]
    return np.array(rows, list(zip(("name", "offset", "size", "label", "wrong"), kinds, strict=True)))


def _samples(path: Path) -> tuple[dict[str, dict[str, Entry]], set[str]]:
    """The files of each sample by their extension, and the keys of samples that have one twice.

    A key is all before the first dot in the name of a file, with its folders, as in the webdataset library.
    """
    samples: dict[str, dict[str, Entry]] = {}
    twice = set()
    for member in members(path):
        folders, slash, base = member.name.rpartition("/")
        stem, dot, extension = base.partition(".")
        if not (stem and dot) or any(part.startswith(HIDDEN) for part in folders.split("/")):
            continue
        key = f"{folders}{slash}{stem}"
        if key.startswith("__") and key.endswith("__"):  # what the library keeps for itself
            continue
        found = samples.setdefault(key, {})
        if extension.lower() in found:
            twice.add(key)
        found[extension.lower()] = member
    return samples, twice


def _row(path: Path, descriptor: int, found: dict[str, Entry], image: str, label: str) -> Row:
    if image == AUTO:
        images = [extension for extension in found if f".{extension}" in SUFFIXES]
    else:
        images = [extension for extension in image.lower().split(";") if extension in found][:1]
    member = found[images[0]] if images else next(iter(found.values()))._replace(offset=0, size=0)
    value = _label(path, descriptor, found, label) if images else b""
    lacking = NO_LABEL if not value and label not in (AUTO, NONE) else WHOLE
    wrong = NO_IMAGE if not images else SEVERAL if len(images) > 1 else lacking
    return Row(member.name.encode("utf-8", "surrogateescape"), member.offset, member.size, value, wrong)


def _label(path: Path, descriptor: int, found: dict[str, Entry], label: str) -> bytes:
    """What a sample's file says of its class, nothing where it does not."""
    extension = "cls" if label == AUTO else "json" if label.startswith(JSON) else label.lower()
    member = found.get(extension)
    if member is None:
        return b""
    content = os.pread(descriptor, member.size, member.offset)
    if label.startswith(JSON):
        return _field(path, member, content, label.removeprefix(JSON).split("."))
    if len(content) > LONGEST:
        what = f"{path}: {member.name} has {len(content):,} bytes, which is no class"
        raise UsageError(what, "correct data.label")
    return content.strip()


def _field(path: Path, member: Entry, content: bytes, keys: list[str]) -> bytes:
    try:
        value = files.parse_json(content)
    except ValueError as error:
        raise UsageError(f"{path}: {member.name} is no JSON ({error})", "make it again") from error
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if (value is not None and not isinstance(value, str | int)) or len(str(value)) > LONGEST:
        what = f"{path}: {member.name} has {'.'.join(keys)} {str(value)[:50]!r}, which is no class"
        raise UsageError(what, "correct data.label")
    return b"" if value is None else str(value).strip().encode()
