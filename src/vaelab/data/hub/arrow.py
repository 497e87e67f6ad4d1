"""Tables of Arrow and Parquet with images in them: which columns those are, and where in a file each image lies."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaelab.data.annotations.table import LABEL, usual_column
from vaelab.data.encoded.files import stamp
from vaelab.errors import Damaged, UsageError
from vaelab.io import files, places
from vaelab.io.hashing import data_hash
from vaelab.registry import hint

AUTO, NONE = "auto", "none"
SIMPLE = re.compile("u?int[0-9]+|bool|(large_)?string|dictionary.*")  # types of columns that may tell classes
ROWS = 256  # of a Parquet, written at once
NO_PLACE = -1, -1
PARQUET = ".parquet"


class Columns(NamedTuple):
    """The columns of images and of classes, and the names of these where the table has them."""

    image: str
    label: str | None
    classes: tuple[str, ...] | None


class Rows(NamedTuple):
    """Of each row of a table the place of its image in `file`, int64 [N, 2], or else its path, and its label."""

    file: Path
    places: np.ndarray
    paths: dict[int, str]
    labels: np.ndarray | None


def choose_columns(path: Path, image: str | None, label: str) -> Columns:
    """The columns that are named, or found: the only one of images, the only one of classes or of a usual name."""
    pa = _pyarrow(path)
    schema = _schema(pa, path)
    features = _features(path, schema)
    kinds = {field.name: str(field.type) for field in schema}
    listed = ", ".join(f"{name} ({features.get(name, {}).get('_type', kind[:40])})" for name, kind in kinds.items())
    found = [field.name for field in schema if _holds_files(pa, field.type)]
    named = [name for name in found if features.get(name, {}).get("_type") == "Image"] or found
    if image is not None and image not in kinds:
        raise UsageError(f"{path} has no column {image!r} for data.image; {hint(image, list(kinds))}")
    if image is not None and image not in found:
        what = f"the column {image} of {path} holds no image files but {kinds[image][:100]}"
        raise UsageError(what, "name another with data.image, or save arrays of pixels as .npy for data.kind=arrays")
    if image is None and len(named) != 1:
        what = f"has images in {', '.join(named)}" if named else f"has no images ({listed})"
        raise UsageError(f"{path} {what}", "name their column with data.image" if named else "name another table")
    found_label = _label(path, kinds, features, label)
    names = features.get(found_label or "", {}).get("names")
    return Columns(image or named[0], found_label, tuple(map(str, names)) if names else None)


def read_rows(path: Path, columns: Columns) -> Rows:
    """Where the images of a table are: in an Arrow file itself; of a Parquet, which is packed, in a copy of them.

    The copy is as large as the encoded images, and in the cache under `huggingface/` until the table changes.
    """
    found = None if path.suffix == PARQUET else _located(path, columns)
    if found is None:
        copy = _copied(path, columns)
        found = _located(copy, columns)
        if found is None:
            raise Damaged(copy, "its images are compressed")
    return found


def _copied(path: Path, columns: Columns) -> Path:
    """Images and labels as plain Arrow."""
    pa = _pyarrow(path)
    kept = places.cache() / "huggingface" / f"{data_hash([str(path), stamp(path), columns[:2]])[:24]}.arrow"

    def write(target: Path) -> None:
        chosen = [name for name in columns[:2] if name]
        with files.parsing(path):
            batches = _batches(pa, path, chosen)
            first = next(batches, None)
            if first is None:
                raise UsageError(f"{path} has no rows; leave it out")
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
            writer.write_batch(first)
            with files.parsing(path):
                for batch in batches:
                    writer.write_batch(batch)

    if not kept.is_file():
        files.write_whole(kept, write)
    return kept


def _located(path: Path, columns: Columns) -> Rows | None:
    """None where images are not in the file as they are, for it is compressed."""
    pa = _pyarrow(path)
    spots: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    paths: dict[int, str] = {}
    with files.parsing(path), pa.memory_map(str(path)) as file:
        base, size, count = file.read_buffer(1).address, path.stat().st_size, 0
        file.seek(0)
        for batch in _opened(pa, file):
            found, named = _contents(pa, batch.column(columns.image))
            spot = _spots(found, base)
            if (spot[:, 0] >= size).any() or (spot[:, 0] < NO_PLACE[0]).any():
                return None
            if named is not None:
                lost = np.flatnonzero(spot[:, 1] < 0)
                paths |= {count + int(i): str(named[int(i)]) for i in lost if named[int(i)].is_valid}
            spots.append(spot)
            if columns.label:
                labels.append(batch.column(columns.label).to_numpy(zero_copy_only=False))
            count += len(batch)
    every = np.concatenate(spots) if spots else np.zeros((0, 2), np.int64)
    return Rows(path, every, paths, np.concatenate(labels) if labels else None)


def _spots(found: Any, base: int) -> np.ndarray:
    """Offset from an address, and size, of each value of an array of bytes."""
    kind = np.int64 if str(found.type).startswith("large") else np.int32
    _, ends, content = found.buffers()
    if not len(found) or content is None:
        return np.full((len(found), 2), NO_PLACE, np.int64)
    bounds = np.frombuffer(ends, kind)[found.offset : found.offset + len(found) + 1].astype(np.int64)
    spots = np.stack([content.address - base + bounds[:-1], np.diff(bounds)], 1)
    spots[~found.is_valid().to_numpy(zero_copy_only=False)] = NO_PLACE
    return spots


def _contents(pa: Any, column: Any) -> tuple[Any, Any]:
    """The bytes of images and, where there are, their paths."""
    if not pa.types.is_struct(column.type):
        return column, None
    named = any(field.name == "path" and pa.types.is_string(field.type) for field in column.type)
    return column.field("bytes"), column.field("path") if named else None


def _holds_files(pa: Any, kind: Any) -> bool:
    """Whether a type of Arrow is of bytes, or of these and their path."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_files(pa, field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _label(path: Path, kinds: dict[str, str], features: dict[str, Any], label: str) -> str | None:
    if label not in (AUTO, NONE) and label not in kinds:
        raise UsageError(f"{path} has no column {label!r} for data.label; {hint(label, list(kinds))}")
    if label != AUTO:
        return None if label == NONE else label
    classes = [name for name in kinds if features.get(name, {}).get("_type") == "ClassLabel"]
    usual = usual_column(classes or [name for name, kind in kinds.items() if SIMPLE.fullmatch(kind)], LABEL)
    if usual is None and len(classes) > 1:
        raise UsageError(f"{path} has classes in {', '.join(classes)}", "set data.label to one of them, or to none")
    return usual or next(iter(classes), None)


def _schema(pa: Any, path: Path) -> Any:
    with files.parsing(path):
        if path.suffix == PARQUET:
            return import_module("pyarrow.parquet").read_schema(path)
        with pa.memory_map(str(path)) as file:
            try:
                return pa.ipc.open_stream(file).schema
            except pa.ArrowInvalid:
                return pa.ipc.open_file(file).schema


def _features(path: Path, schema: Any) -> dict[str, Any]:
    """What `datasets` says of each column, where it wrote the table."""
    with files.parsing(path):
        told = files.parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))
        return dict(told.get("info", {}).get("features", {}))


def _batches(pa: Any, path: Path, chosen: list[str]) -> Iterator[Any]:
    if path.suffix == PARQUET:
        with import_module("pyarrow.parquet").ParquetFile(path) as table:
            yield from table.iter_batches(ROWS, columns=chosen)
        return
    with pa.memory_map(str(path)) as file:
        for batch in _opened(pa, file):
            yield batch.select(chosen)


def _opened(pa: Any, file: Any) -> Iterator[Any]:
    """The parts of an Arrow file, of either of its two formats."""
    try:
        yield from pa.ipc.open_stream(file)
    except pa.ArrowInvalid:
        file.seek(0)
        table = pa.ipc.open_file(file)
        yield from map(table.get_batch, range(table.num_record_batches))


def _pyarrow(path: Path) -> Any:
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise UsageError(f"{path} is read by pyarrow; pip install 'vaelab[parquet]'") from error
