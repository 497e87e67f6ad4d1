"""Images in splits: what a model is trained on, and what a set consists of before its options apply."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.data import images

HASHED_BYTES = 2**26  # of a split


@dataclass(frozen=True)
class Split:
    """Images, and what is known about each: uint8 [N, C, H, W], class int64 [N], factors float32 [N, F]."""

    images: Tensor
    labels: Tensor | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.images)

    def __getitem__(self, index: slice | Tensor | list[int]) -> "Split":
        """Some of the images: a slice shares memory, indices copy."""
        labels, factors = (None if t is None else t[index] for t in (self.labels, self.factors))
        return Split(self.images[index], labels, factors)

    def cut(self, numbers: np.ndarray) -> "list[Split]":
        """Train, valid and test of images in this order, whose split is numbered 0, 1, 2."""
        ends = np.searchsorted(numbers, range(3), side="right")
        return [self[start:end] for start, end in zip((0, *ends), ends, strict=False)]

    def as_input(self, device: torch.device, labelled: bool) -> tuple[Tensor, Tensor | None]:
        """What a model takes: float32 images in [0, 1], and their classes if it sees them, on its device."""
        y = self.labels.to(device) if labelled and self.labels is not None else None
        return images.to_floats(self.images.to(device)), y


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


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, and how their images become the model's input."""

    name: str
    train: Split
    valid: Split
    test: Split
    classes: tuple[str, ...] | None = None  # the name of each label
    factor_names: tuple[str, ...] | None = None  # the name of each column of `factors`
    binary: bool = False  # the model sees 0 and 1 only
    dynamic: bool = False  # training images are drawn anew, as Bernoulli variables, in every batch
    flip: bool = False
    split_by: str = "seed"  # how the splits came about

    @property
    def summary(self) -> str:
        """The set in a line: how many images, of what kind and size, of how many classes, and how they are split."""
        channels, height, width = self.x_shape
        kind = "binary" if self.binary else {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
        total = len(self.train) + len(self.valid) + len(self.test)
        classes = f" in {self.class_count:,} class{'es' * (self.class_count > 1)}" if self.class_count else ""
        return f"{total:,} {kind} images of {height} × {width}{classes}, split by {self.split_by}"

    @cached_property
    def digest(self) -> str:
        """What tells this set from another, for people to read: sizes and shape, and a hash of images and labels.

        Of splits of more than HASHED_BYTES, evenly spaced images are hashed (half a second in all).
        """
        splits = self.train, self.valid, self.test
        content = hashlib.blake2b(digest_size=6)
        for split in splits:
            x = split.images[:: 1 + split.images.nbytes // HASHED_BYTES]
            for part in x.split(max(1, images.CHUNK // x[0].numel())):
                content.update(part.contiguous().numpy().data)
            content.update(b"" if split.labels is None else split.labels.numpy().data)
        sizes = " + ".join(f"{len(split):,}" for split in splits)
        return f"{sizes} images of {'×'.join(map(str, self.x_shape))} ({content.hexdigest()})"

    @property
    def x_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def class_count(self) -> int:
        """How many classes the labels tell apart; 0 without labels."""
        if self.train.labels is None:
            return 0
        return len(self.classes) if self.classes else int(self.train.labels.max()) + 1

    def augment(self, x: Tensor) -> Tensor:
        """A training batch, uint8 [B, C, H, W] -> float32 in [0, 1], flipped and binarised if so chosen.

        Random numbers come from the default generator of the batch's device; nothing depends on the data's
        values, so the function can be compiled or captured.
        """
        x = images.to_floats(x)
        if self.flip:
            heads = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
            x = torch.where(heads, x.flip(-1), x)
        return (torch.rand_like(x) < x).float() if self.dynamic else x

    def as_seen(self) -> Split:
        """The training images as a model sees them: of a dynamic set, each pixel drawn once."""
        return self._drawn if self.dynamic else self.train

    @cached_property
    def _drawn(self) -> Split:
        return replace(self.train, images=images.bernoulli(self.train.images, images.stream(0, "seen")))
