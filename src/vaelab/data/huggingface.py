"""Images in tables, as the Hugging Face hub and `datasets` have them."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data.annotations.classes import classes_of
from vaelab.data.annotations.known import refuse_unseen
from vaelab.data.encoded.extents import Extents
from vaelab.data.encoded.files import ImageFiles, Opened, stamp
from vaelab.data.encoded.source import Collection, FilesSource
from vaelab.data.hub.arrow import AUTO, NONE, Columns, Rows, choose_columns, read_rows
from vaelab.data.hub.folder import find_tables
from vaelab.errors import UsageError
from vaelab.io import places
from vaelab.io.formatting import counted
from vaelab.io.progress import in_threads
from vaelab.registry import register

WORKERS = 4  # tables at a time, of each of which some hundred images are in memory
NAMED = 3
FIX = "name another column with data.label, or set that to none to leave classes out"


@register("data", "huggingface")
@dataclass(frozen=True, kw_only=True)
class HuggingFace(FilesSource):
    """Images in a table: a Parquet, a folder of these, what `save_to_disk` of `datasets` wrote, or a name on the hub.

    `path` is absolute, or relative to the working directory or a data directory; where there is no such folder, it is
    the name of a set that `datasets` downloads. `config` is the one that is meant where a set has several, `image` and
    `label` are its columns, found by themselves where there is one of each; `label: none` leaves classes out. Its
    splits are kept, as README.md or the names of tables tell them; a single one is split by `seed`.

    Images are read where they are in Arrow files. Those of a Parquet, which cannot be reached by number, are copied as
    they are to the user's cache, under `huggingface/`, once. `size`, `channels` and what follows are as of `folder`.
    """

    path: str
    config: str | None = None
    image: str | None = None
    label: str = AUTO

    def find(self, directory: places.Directory) -> Collection:
        """The rows of all tables; UsageError for tables that are missing, damaged, differ or have no images."""
        where, paths, of_table, split_by = find_tables(self.path, self.config, directory)
        columns = choose_columns(paths[0], self.image, self.label)
        tables = _read_all(paths, columns)
        counts = [len(rows.places) for rows in tables]
        first = np.cumsum([0, *counts])
        table = np.repeat(np.arange(len(paths)), counts)
        spots = np.column_stack([table, np.concatenate([rows.places for rows in tables])])
        paths_of = _paths(paths, tables, first)
        has = spots[:, 2] >= 0
        has[list(paths_of)] = True
        kept = np.flatnonzero(has)
        _tell_of_others(where, columns, has)

        def name(number: int) -> str:
            row = int(kept[number])
            return f"{paths[table[row]].name}, row {row - first[table[row]]:,}"

        files = [rows.file for rows in tables]
        extents = Extents(files, [stamp(path) for path in files], spots[kept])
        found = extents.files(name)
        if paths_of:
            found = _with_paths(found, {int(np.searchsorted(kept, row)): path for row, path in paths_of.items()})
        splits = None if of_table is None else of_table[table[kept]]
        labels, classes = _classes(tables, kept, columns, where, found.names) if columns.label else (None, None)
        if splits is not None and labels is not None and classes is not None:
            refuse_unseen(where, splits, labels, classes, found.names)
        return Collection(found, where, splits, labels, classes, split_by=split_by)


def _read_all(paths: Sequence[Path], columns: Columns) -> list[Rows]:
    def read(path: Path) -> Rows:
        choose_columns(path, columns.image, columns.label or NONE)
        return read_rows(path, columns)

    return in_threads("reading tables", read, paths, WORKERS)


def _paths(paths: Sequence[Path], tables: Sequence[Rows], first: np.ndarray) -> dict[int, Path]:
    """The files of images that are not in the tables themselves, by row; no pipes, which would not end."""
    found = {
        int(start) + row: table.parent / path
        for table, rows, start in zip(paths, tables, first, strict=False)
        for row, path in rows.paths.items()
    }
    return {row: path for row, path in found.items() if path.is_file()}


def _tell_of_others(where: Path, columns: Columns, has: np.ndarray) -> None:
    """UsageError where no row has an image; a warning where some have none."""
    if not has.any():
        raise UsageError(f"the column {columns.image} of {where} holds no images", "name another with data.image")
    if not has.all():
        what = f"{int((~has).sum()):,} of the {counted(len(has), 'row')} of {where}"
        warnings.warn(f"left out {what}, which have no image", stacklevel=4)


def _with_paths(found: ImageFiles, paths: Mapping[int, Path]) -> ImageFiles:
    """Images of which some are files of their own."""

    def open_either(number: int) -> Opened:
        return paths[number] if number in paths else found.open(number)

    return ImageFiles(found.names, open_either, lambda: [found.stamp(), [stamp(path) for path in paths.values()]])


def _classes(
    tables: Sequence[Rows], kept: np.ndarray, columns: Columns, where: Path, names: Sequence[str]
) -> tuple[Tensor, tuple[str, ...]]:
    """The class of each image that is kept; UsageError where one has none."""
    values = np.concatenate([rows.labels for rows in tables if rows.labels is not None])[kept]
    number = values.dtype.kind in "iufb"
    lacking = ~(values >= 0) if number and columns.classes else np.array([v is None or v != v for v in values.tolist()])
    what = f"{where} has no {columns.label} for"
    if lacking.any():
        few = np.flatnonzero(lacking)
        listed = ", ".join([*(names[int(i)] for i in few[:NAMED]), *["…"] * (len(few) > NAMED)])
        raise UsageError(f"{what} {len(few):,} of {counted(len(values), 'image')} ({listed})", FIX)
    if values.dtype.kind == "f" and (odd := values[values % 1 != 0]).size:
        raise UsageError(f"the column {columns.label} of {where} holds {odd[0]:g}, which is no class", FIX)
    if values.dtype.kind in "fiu":
        values = values.astype(np.int64)
    if columns.classes and number:
        return torch.from_numpy(values), columns.classes
    return classes_of(values.astype(str))
