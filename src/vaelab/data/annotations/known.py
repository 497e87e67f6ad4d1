"""What a table says of image files: the split, the class and the factors of each."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.data.annotations.classes import classes_of
from vaelab.data.annotations.layout import SPLITS
from vaelab.data.annotations.table import FILE, LABEL, SPLIT, column, read_table, usual_column
from vaelab.data.encoded.files import is_image
from vaelab.errors import UsageError, shown

NAMED = 3  # files in a sentence


class Known(NamedTuple):
    """What a table says: which files it has, by number, and of each of these its split, class and factors."""

    kept: np.ndarray
    splits: np.ndarray | None
    labels: Tensor | None
    classes: tuple[str, ...] | None
    factors: Tensor | None
    factor_names: tuple[str, ...] | None


class Chosen(NamedTuple):
    """Names of columns as a user may give them; by default, those that are usual."""

    file: str | None = None
    label: str | tuple[str, ...] | None = None
    split: str | None = None


def read_known(path: Path, names: Sequence[str], root: Path, chosen: Chosen) -> Known:
    """What a table says of the files with these names, below `root`; warns of rows without files and the reverse.

    Files without a row are left out. UsageError where no row fits a file, for columns that are not there, several rows
    for one file, and splits other than train, valid and test.
    """
    table = read_table(path)
    listed = [str(value) for value in table[column(path, table, chosen.file, FILE, "file")]]
    row_of = _matched(path, listed, names, root)
    kept = np.array([i for i, name in enumerate(names) if name in row_of], dtype=np.int64)
    rows = [row_of[name] for name in names if name in row_of]
    _warn_of_others(path, listed, names, row_of)
    there = {key: [values[row] for row in rows] for key, values in table.items()}
    files = [names[int(i)] for i in kept]

    split = column(path, table, chosen.split, SPLIT, "split", optional=True)
    splits = _splits(path, split, there[split], files) if split else None
    several = (chosen.label,) if isinstance(chosen.label, str) else chosen.label or ()
    labelled = [column(path, table, name, LABEL, "label") for name in several]
    labelled = labelled or [name for name in [usual_column(table, LABEL)] if name]
    labels, classes = _classes(path, labelled[0], there[labelled[0]], files) if labelled else (None, None)
    factors = {name: numbers for name in labelled if (numbers := _numbers(there[name])) is not None}
    if len(labelled) == 1 and labels is not None:
        factors = {}
    stacked = torch.tensor(list(factors.values()), dtype=torch.float32).T.contiguous() if factors else None
    return Known(kept, splits, labels, classes, stacked, tuple(factors) or None)


def _matched(path: Path, files: Sequence[str], names: Sequence[str], root: Path) -> dict[str, int]:
    """The row of each name that has one, by the first part of paths that fits any: all, without suffix, the last."""
    listed = [file.replace("\\", "/").removeprefix("./") for file in files]
    for part in _parts(root):
        rows: dict[str, list[int]] = {}
        for row, file in enumerate(listed):
            rows.setdefault(part(file), []).append(row)
        keys = {name: part(name) if part(name) in rows else part(_whole(name)) for name in names}
        keys = {name: key for name, key in keys.items() if key in rows}
        if not keys:
            continue
        if twice := [name for name, key in keys.items() if len(rows[key]) > 1]:
            raise UsageError(f"{path} has several rows for {_listed(twice)}; leave one for each file")
        if len({_whole(name) for name in keys}) > len(set(keys.values())):
            count = Counter(keys.values())
            several = [name for name, key in keys.items() if count[key] > 1]
            raise UsageError(f"{path} does not tell {_listed(several[:2])} apart; give their folders in it, too")
        return {name: rows[key][0] for name, key in keys.items()}
    has = f"its files are {_listed(files) or 'none'}, those below {root} {_listed(names)}"
    raise UsageError(f"{path} fits no file: {has}; correct it, name its column with data.file, or set data.table=none")


def _whole(name: str) -> str:
    """The file that a page is in."""
    return name.rpartition("#")[0] if "#" in name else name


def _parts(root: Path) -> list[Callable[[str], str]]:
    """Of a path what may tell a file: all below the folder, also without its suffix, or the last part alone."""

    def below(path: str) -> str:
        return path.removeprefix(f"{root.as_posix()}/").removeprefix(f"{root.name}/")

    def without_suffix(path: str) -> str:
        return below(path).rpartition(".")[0] if is_image(path) else below(path)

    return [
        below,
        without_suffix,
        lambda path: path.rpartition("/")[2],
        lambda path: without_suffix(path.rpartition("/")[2]),
    ]


def _warn_of_others(path: Path, files: Sequence[str], names: Sequence[str], row_of: Mapping[str, int]) -> None:
    used = set(row_of.values())
    without_file = [file for row, file in enumerate(files) if row not in used]
    without_row = [name for name in names if name not in row_of]
    parts = [f"{_counted(without_row, 'image')} without a row, left out"] * bool(without_row)
    parts += [f"{_counted(without_file, 'row')} without an image"] * bool(without_file)
    if parts:
        warnings.warn(f"{path}: {'; '.join(parts)}", stacklevel=4)


def _splits(path: Path, column: str, values: Sequence[Any], files: Sequence[str]) -> np.ndarray:
    known = {**SPLITS, "dev": 1, "0": 0, "1": 1, "2": 2}
    numbers = [known.get(str(value).strip().lower(), -1) for value in values]
    if unknown := [i for i, number in enumerate(numbers) if number < 0]:
        odd = ", ".join(sorted({shown(values[i]) for i in unknown})[:NAMED])
        what = f"{path} puts {_counted([files[i] for i in unknown], 'image')} into the {column} {odd}"
        raise UsageError(f"{what}; name each split train, valid or test")
    if 0 not in numbers:
        raise UsageError(f"{path} has no image whose {column} is train; put some there, or rename the column")
    return np.array(numbers)


def _classes(
    path: Path, column: str, values: Sequence[Any], files: Sequence[str]
) -> tuple[Tensor, tuple[str, ...]] | tuple[None, None]:
    """Numbers of classes, in the order of their names, or of whole numbers; none of other numbers."""
    if empty := [
        files[i] for i, value in enumerate(values) if value is None or value != value or not str(value).strip()
    ]:
        raise UsageError(f"{path} has no {column} for {_counted(empty, 'image')}; give every image one, or remove it")
    numbers = _numbers(values)
    if numbers is not None and any(number % 1 for number in numbers):
        return None, None
    return classes_of([str(v).strip() for v in values] if numbers is None else [str(int(n)) for n in numbers])


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """Numbers that texts or values are, if all are finite."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def refuse_unseen(
    where: Path, splits: np.ndarray, labels: Tensor, classes: tuple[str, ...], files: Sequence[str]
) -> None:
    """UsageError for images of a class that no image for training is of."""
    trained = set(labels[torch.from_numpy(splits == 0)].tolist())
    unseen = [i for i, label in enumerate(labels.tolist()) if label not in trained]
    if unseen:
        names = ", ".join(sorted({classes[int(labels[i])] for i in unseen})[:NAMED])
        what = f"{where} has {_counted([files[i] for i in unseen], 'image')} of a class that train lacks, {names}"
        raise UsageError(f"{what}; put some of it into train, or leave it out")


def _counted(files: Sequence[str], thing: str) -> str:
    return f"{len(files):,} {thing}{'s' * (len(files) > 1)} ({_listed(files)})"


def _listed(files: Sequence[str]) -> str:
    return ", ".join([*files[:NAMED], *["…"] * (len(files) > NAMED)])
