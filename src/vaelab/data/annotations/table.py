"""Tables beside images: the columns of a CSV or Parquet, and which of them are meant."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaelab.errors import Damaged, UsageError
from vaelab.io.files import parsing
from vaelab.registry import hint

SUFFIXES = (".csv", ".parquet")
FILE = (
    "file_name",
    "filename",
    "file",
    "image",
    "path",
    "image_path",
    "file_path",
    "filepath",
    "image_name",
    "image_id",
)
LABEL = ("label", "class", "category", "target", "class_name", "label_name", "labels")
SPLIT = ("split", "subset", "set", "partition")

Columns = dict[str, list[Any]]


def find_table(root: Path) -> Path | None:
    """The table at the top of a folder that has a column of file names; UsageError where there are several."""
    paths = sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    found = [path for path in paths if usual_column(_header(path), FILE)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(
            f"{root} has several tables of files, {names}", "name one with data.table, or set that to none"
        )
    return found[0] if found else None


def _header(path: Path) -> list[str]:
    if path.suffix.lower() == ".csv":
        return next(iter(_rows(path, first=True)), [])
    with parsing(path):
        return _parquet(path).read_schema(path).names


def _rows(path: Path, first: bool = False) -> list[list[str]]:
    """The rows of a CSV that are not empty, or the first of them alone."""
    try:
        with parsing(path), path.open(newline="", encoding="utf-8-sig") as file:
            line = file.readline()
            file.seek(0)
            rows = (row for row in csv.reader([line] if first else file, delimiter=max(",;\t|", key=line.count)) if row)
            return list(rows)
    except Damaged as error:
        if isinstance(error.__cause__, UnicodeDecodeError):
            raise UsageError(f"{path} is no text in UTF-8; save it as that") from error
        raise


def read_table(path: Path) -> Columns:
    """Columns of text from a CSV, of whatever they hold from a Parquet; UsageError for what is neither."""
    if path.suffix.lower() == ".csv":
        head, *rows = _rows(path) or [[]]
        if odd := [i for i, row in enumerate(rows) if len(row) != len(head)]:
            values = f"{len(rows[odd[0]])} values where {len(head)} columns have names"
            raise UsageError(f"{path}: row {odd[0] + 1} has {values}; mend that row ({len(odd):,} such rows)")
        return {name.strip(): [row[i] for row in rows] for i, name in enumerate(head)}
    with parsing(path):
        return _parquet(path).read_table(path).to_pydict()


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(f"{path} is read by pyarrow; pip install 'vaelab[parquet]'") from error
    return parquet


def usual_column(columns: Sequence[str] | Columns, usual: Sequence[str]) -> str | None:
    """The column of the most usual name among them, in any case."""
    known = {name.strip().lower().replace(" ", "_"): name for name in reversed(list(columns))}
    return next((known[name] for name in usual if name in known), None)


def column(
    path: Path, table: Columns, name: str | None, usual: Sequence[str], option: str, optional: bool = False
) -> str:
    """A column that is named, or of a usual name; empty where there is none that must be."""
    if name is None:
        found = usual_column(table, usual)
        if found is None and not optional:
            what = f"{path} has the columns {', '.join(table) or '(none)'}, of which none is known to name files"
            raise UsageError(f"{what}; name it with data.{option}")
        return found or ""
    if name not in table:
        raise UsageError(f"{path} has no column {name!r} for data.{option}; {hint(name, list(table))}")
    return name
