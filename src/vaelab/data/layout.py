"""How a folder of images is laid out, told from its subfolders: splits, classes, classes within splits, or neither."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import UsageError

SPLITS = ("train", "valid", "test")
WORDS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


class Layout(NamedTuple):
    """Names in the order of their splits; where folders tell, of each its place among SPLITS, and its class."""

    names: list[str]
    splits: np.ndarray | None
    labels: Tensor | None
    classes: tuple[str, ...] | None


def laid_out(names: list[str], root: Path, folders: Literal["auto", "splits", "classes"] = "auto") -> Layout:
    """What the subfolders of `root` mean, in which `names` are; UsageError where they are `of_splits` and ambiguous."""
    if folders == "splits" or (folders == "auto" and any(_top(name).lower() in WORDS for name in names)):
        return of_splits(names, root)
    return of_classes(names)


def of_classes(names: list[str]) -> Layout:
    """Classes by first-level subfolder, if there are several and no image lies outside them."""
    classes = _classes(names)
    return Layout(names, None, _labels(names, classes), classes)


def of_splits(names: list[str], root: Path) -> Layout:
    """Splits by first-level subfolder, and in them classes, which those of `train` define.

    UsageError for subfolders that are no splits beside those that are, for splits that training is not one of, and for
    classes that differ between splits.
    """
    _check_splits(names, root)
    roles, inside = [WORDS[_top(name).lower()] for name in names], [name.partition("/")[2] for name in names]
    found = {
        role: _classes([name for name, other in zip(inside, roles, strict=True) if other == role])
        for role in set(roles)
    }
    classes = found["train"]
    known = [
        _top(name) in classes if classes else found[role] is None for name, role in zip(inside, roles, strict=True)
    ]
    if not all(known):
        what = f"the classes {_listed(classes)}" if classes else "no classes"
        raise UsageError(
            f"{root} has {what} in its train folder, to which {names[known.index(False)]} does not fit; "
            "give every split the same class folders, or none"
        )
    numbers = np.array([SPLITS.index(role) for role in roles])
    order = np.argsort(numbers, kind="stable")
    labels = _labels([inside[i] for i in order], classes)
    return Layout([names[i] for i in order], numbers[order], labels, classes)


def _check_splits(names: list[str], root: Path) -> None:
    tops = sorted({_top(name) for name in names})
    splits = [top for top in tops if top.lower() in WORDS]
    roles = [WORDS[top.lower()] for top in splits]
    others, loose = [top for top in tops if top and top not in splits], tops[0] == ""
    if "train" not in roles:
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
    if len(set(roles)) < len(roles):
        raise UsageError(f"{root} has {_listed(splits)}, two of which are the same split; leave one of each")


def _listed(folders: Sequence[str]) -> str:
    return ", ".join([*(f"{name}/" for name in folders[:5]), *(["…"] if len(folders) > 5 else [])])


def _top(name: str) -> str:
    """The first-level subfolder, "" for none."""
    return name.rpartition("/")[0].split("/")[0]


def _classes(names: list[str]) -> tuple[str, ...] | None:
    tops = {_top(name) for name in names}
    return tuple(sorted(tops)) if len(tops) > 1 and "" not in tops else None


def _labels(names: list[str], classes: tuple[str, ...] | None) -> Tensor | None:
    if classes is None:
        return None
    index = {top: i for i, top in enumerate(classes)}
    return torch.tensor([index[_top(name)] for name in names])
