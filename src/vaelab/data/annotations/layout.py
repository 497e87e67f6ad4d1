"""Layout of a folder of images, told from its subfolders: splits, classes, classes within splits, or neither."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import UsageError

SPLITS = {"train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "test": 2, "testing": 2}  # and their number


class Layout(NamedTuple):
    """Of each name the number of its split, and its class, where folders tell."""

    splits: np.ndarray | None
    labels: Tensor | None
    classes: tuple[str, ...] | None


def laid_out(names: Sequence[str], root: Path, folders: Literal["auto", "splits", "classes"] = "auto") -> Layout:
    """What the subfolders of `root` mean, in which `names` are.

    Several first-level subfolders are classes, if no image lies outside them; or they are splits, and several in that
    of training are classes. UsageError for subfolders that are no splits beside those that are, for splits that
    training is not one of, and for classes that differ between splits.
    """
    tops = [_top(name) for name in names]
    if folders == "classes" or (folders == "auto" and not any(top.lower() in SPLITS for top in tops)):
        classes = _classes(names)
        return Layout(None, _labels(names, classes), classes)
    _check_splits(sorted(set(tops)), root)
    numbers = np.array([SPLITS[top.lower()] for top in tops])
    inside = [name.partition("/")[2] for name in names]
    classes = _classes([name for name, n in zip(inside, numbers, strict=True) if n == 0])
    of_split = [_classes([name for name, n in zip(inside, numbers, strict=True) if n == number]) for number in range(3)]
    for name, below, number in zip(names, inside, numbers, strict=True):
        if (_top(below) not in classes) if classes else of_split[number]:
            what = f"the classes {_listed(classes)}" if classes else "no classes"
            raise UsageError(
                f"{root} has {what} in its train folder, to which {name} does not fit; "
                "give every split the same class folders, or none"
            )
    return Layout(numbers, _labels(inside, classes), classes)


def splits_by_name(paths: Sequence[Path], fix: str) -> np.ndarray | None:
    """The number of the split that the name of each file says, or the nearest folder; None where all say the same.

    UsageError where some say none, or none says train; `fix` says what to do then.
    """
    above = Path(os.path.commonpath([path.parent for path in paths]))
    numbers = [_split_of(path.relative_to(above)) for path in paths]
    if len({*numbers} - {None}) < 2:
        return None
    if None in numbers:
        named = next(path for path, number in zip(paths, numbers, strict=True) if number is not None)
        other = paths[numbers.index(None)]
        raise UsageError(f"{named} says what split it is of and {other} does not", fix)
    if 0 not in numbers:
        raise UsageError(f"{above} has files of valid and test and none of train", fix)
    return np.array(numbers)


def _split_of(path: Path) -> int | None:
    for part in reversed(path.parts):
        numbers = {SPLITS[word] for word in re.findall("[a-z]+", part.lower()) if word in SPLITS}
        if len(numbers) == 1:
            return numbers.pop()
    return None


def _check_splits(tops: list[str], root: Path) -> None:
    splits = [top for top in tops if top.lower() in SPLITS]
    numbers = [SPLITS[top.lower()] for top in splits]
    others, loose = [top for top in tops if top and top not in splits], tops[0] == ""
    if 0 not in numbers:
        found = _listed(splits or others) or "images"
        raise UsageError(
            f"{root} has {found} and no train/; add that, name another folder, or set data.folders=classes "
            "if its subfolders are classes"
        )
    if others or loose:
        beside = " and ".join([_listed(others)] * bool(others) + ["images outside of folders"] * loose)
        raise UsageError(
            f"{root} has {_listed(splits)} beside {beside}; set data.folders=classes if its subfolders are classes, "
            "or leave only train/, valid/ and test/ in it"
        )
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{root} has {_listed(splits)}, two of which are the same split; leave one of each")


def _listed(folders: Sequence[str]) -> str:
    return ", ".join([*(f"{name}/" for name in folders[:5]), *(["…"] if len(folders) > 5 else [])])


def _top(name: str) -> str:
    """The first-level subfolder, "" for none."""
    return name.rpartition("/")[0].split("/")[0]


def _classes(names: Sequence[str]) -> tuple[str, ...] | None:
    tops = {_top(name) for name in names}
    return tuple(sorted(tops)) if len(tops) > 1 and "" not in tops else None


def _labels(names: Sequence[str], classes: tuple[str, ...] | None) -> Tensor | None:
    if classes is None:
        return None
    number = {top: i for i, top in enumerate(classes)}
    return torch.tensor([number[_top(name)] for name in names])
