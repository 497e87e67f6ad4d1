"""Caltech 101 Silhouettes: outlines of objects, filled, 28 × 28 pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from vaelab.data.source import Pool, Source, Split
from vaelab.files import File, Folder, damaged, fetch, locate, parsing
from vaelab.registry import Size, register

URL = "https://people.cs.umass.edu/~marlin/data/"
SPLIT = File(
    "caltech101_silhouettes/caltech101_silhouettes_28_split1.mat", f"{URL}caltech101_silhouettes_28_split1.mat"
)
WHOLE = File(
    "caltech101_silhouettes/caltech101_silhouettes_28.mat",
    f"{URL}caltech101_silhouettes_28.mat",
    "1432d2809e8bf111f1104a234731ddb1",
)
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

    name: ClassVar = "caltech_silhouettes"

    def read(self, directory: Folder) -> Pool:
        """From `caltech101_silhouettes/`, preferring the official split."""
        from scipy.io import loadmat

        whole = locate(WHOLE.path, directory) and not locate(SPLIT.path, directory)
        path = fetch(WHOLE if whole else SPLIT, directory)
        with parsing(path):
            content = loadmat(path)
            classes = tuple(str(name.item()) for name in content["classnames"].ravel())
        if whole:
            splits = [_split(path, content, "X", "Y", sum(COUNTS.values()))]
        else:
            splits = [_split(path, content, f"{s}_data", f"{s}_labels", count) for s, count in COUNTS.items()]
        return Pool(*splits, classes=classes, binary=True)


def _split(path: Path, content: dict[str, Any], x: str, y: str, count: int) -> Split:
    """The images under one key and their labels, counted from 1, under another."""
    with parsing(path):
        bits, labels = content[x], content[y].ravel().astype(np.int64) - 1
    if bits.shape != (count, 784) or not np.isin(bits, (0, 1)).all() or len(labels) != count:
        raise damaged(path, f"{x} is {bits.shape} and should be {count} × 784 zeros and ones, each with a label in {y}")
    images = (1 - bits.astype(np.uint8)) * np.uint8(255)
    upright = np.ascontiguousarray(images.reshape(-1, 1, 28, 28).swapaxes(2, 3))
    return Split(torch.from_numpy(upright), torch.from_numpy(labels))
