"""Caltech 101 Silhouettes: outlines of objects, filled, 28 × 28 pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelab.data.containers.formats import from_columns, opened_mat
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import Damaged
from vaelab.io.places import Directory, File, fetch, locate
from vaelab.registry import Size, register

NAME, URL = "caltech101_silhouettes_28", "https://people.cs.umass.edu/~marlin/data/"
SPLIT = File(f"caltech101_silhouettes/{NAME}_split1.mat", f"{URL}{NAME}_split1.mat")
WHOLE = File(f"caltech101_silhouettes/{NAME}.mat", f"{URL}{NAME}.mat", "1432d2809e8bf111f1104a234731ddb1")
COUNTS = {"train": 4100, "val": 2264, "test": 2307}


@register("data", "caltech_silhouettes")
@dataclass(frozen=True, kw_only=True)
class CaltechSilhouettes(Source):
    """Caltech 101 Silhouettes (Marlin et al. 2010), 4,100 / 2,264 / 2,307 of 101 classes, the object white.

    Read from `caltech101_silhouettes_28_split1.mat`, whose split is the one that papers report on. Where only
    `caltech101_silhouettes_28.mat` is at hand, its 8,671 images are shuffled by `seed` into as many; numbers are
    then not comparable with published ones. The files hold the object as 0 and store images column by column.
    """

    valid_size: Size | None = COUNTS["val"]
    test_size: Size | None = COUNTS["test"]

    def read(self, directory: Directory) -> Pool:
        """From `caltech101_silhouettes/`, preferring the official split."""
        if locate(WHOLE.path, directory) and not locate(SPLIT.path, directory):
            return _read(fetch(WHOLE, directory), whole=True)
        return _read(fetch(SPLIT, directory, _read))


def _read(path: Path, whole: bool = False) -> Pool:
    """Train, valid and test, or all images in one."""
    with opened_mat(path) as content:
        classes = tuple(str(name.item()) for name in content["classnames"].ravel())
        if whole:
            splits = [_split(path, content, "X", "Y", sum(COUNTS.values()))]
        else:
            splits = [_split(path, content, f"{name}_data", f"{name}_labels", count) for name, count in COUNTS.items()]
    return Pool(*splits, classes=classes, binary=True)


def _split(path: Path, content: dict[str, Any], x: str, y: str, count: int) -> Split:
    """The images under one key and their labels, counted from 1, under another."""
    bits, labels = content[x], content[y].ravel().astype(np.int64) - 1
    if bits.shape != (count, 784) or not np.isin(bits, (0, 1)).all() or len(labels) != count:
        raise Damaged(path, f"{x} is {bits.shape} and should be {count} × 784 zeros and ones, each with a label in {y}")
    return Split(from_columns((1 - bits.astype(np.uint8)) * np.uint8(255)), torch.from_numpy(labels))
