"""Images in splits, and what a set consists of before its options apply."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.data import images
from vaelab.data.stored import Images, Numbers
from vaelab.errors import UsageError

AT_ONCE = 2**20  # numbers of an order


@dataclass(frozen=True)
class Split:
    """Images [N, C, H, W], and what is known about each: class int64 [N], factors float32 [N, F].

    Of a `Dataset` they are uint8, or float32 where x is no v / 255; of a `Pool` as they are stored, uint8, uint16 or
    float32. They may be such that are read when they are asked for, of which a split has some without reading any.
    """

    images: Tensor | Images
    labels: Tensor | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.images)

    def __getitem__(self, index: slice | Tensor | list[int]) -> "Split":
        """Some of the images: a slice shares memory, indices copy."""
        labels, factors = (None if t is None else t[index] for t in (self.labels, self.factors))
        found = self.images.at(index) if isinstance(self.images, Images) else self.images[index]
        return Split(found, labels, factors)

    def shuffled(self, order: Numbers) -> "Split":
        """The images in another order."""
        if isinstance(order, Tensor):
            return self[order]
        labels, factors = (None if t is None else _in(order, t) for t in (self.labels, self.factors))
        return Split(
            self.images.at(order) if isinstance(self.images, Images) else _in(order, self.images), labels, factors
        )

    def cut(self, numbers: np.ndarray) -> "list[Split]":
        """Train, valid and test of images in this order, whose split is numbered 0, 1, 2."""
        ends = np.searchsorted(numbers, range(3), side="right")
        return [self[start:end] for start, end in zip((0, *ends), ends, strict=False)]

    def as_input(self, device: torch.device, labelled: bool) -> tuple[Tensor, Tensor | None]:
        """What a model takes: float32 images in [0, 1], and their classes if it sees them, on its device."""
        y = self.labels.to(device) if labelled and self.labels is not None else None
        return images.to_floats(self.images[:].to(device)), y


def _in(order: Numbers, t: Tensor) -> Tensor:
    out = torch.empty_like(t)
    for start in range(0, len(t), AT_ONCE):
        out[start : start + AT_ONCE] = t[order[torch.arange(start, min(start + AT_ONCE, len(t)))]]
    return out


class Pool(NamedTuple):
    """What a set consists of before the options apply."""

    train: Split
    valid: Split | None = None  # the official split, where there is one
    test: Split | None = None
    classes: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    binary: bool = False
    finished: bool = False  # shuffled and shaped already, as suits a set that is mapped from a file
    split_by: str | None = None  # how the splits came about; if not given, its publisher, or the seed

    @property
    def splits(self) -> dict[str, Split]:
        """Those that there are, by name."""
        return {k: s for k, s in zip(("train", "valid", "test"), self[:3], strict=True) if s is not None}


def cut(pool: Pool, name: str, train_size: int | None, valid_size: int | None, test_size: int | None) -> list[Split]:
    """Train, valid and test, of the sizes that are wanted; what is not official is taken from the end of train."""
    rest = pool.train
    total, held_out = len(rest), []
    for which, official, size in (("test", pool.test, test_size), ("valid", pool.valid, valid_size)):
        if official is not None:
            _refuse_more(name, which, size or 1, len(official), len(official))
            held_out.append(official[:size])
            continue
        size = size or max(1, total // 10)
        _refuse_more(name, which, size, len(rest), total)
        held_out.append(rest[-size:])
        rest = rest[:-size]
    _refuse_more(name, "train", train_size or 1, len(rest), total)
    return [rest[:train_size], *reversed(held_out)]


def _refuse_more(name: str, split: str, size: int, available: int, total: int) -> None:
    if size > available:
        raise UsageError(
            f"{name}: the {split} split needs {size:,} images, {available:,} of {total:,} are left; "
            "lower train_size, valid_size or test_size, or give more images"
        )
