"""Sources of images: the options that every set takes, and how they make a Dataset of what the set reads."""

from dataclasses import dataclass, replace
from traceback import extract_tb
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vaelab.data import images
from vaelab.data.checks import checked
from vaelab.data.dataset import Dataset, Pool, Split
from vaelab.errors import UsageError, VaelabError
from vaelab.io.places import Directory
from vaelab.registry import Count, Seed, Size, base_of, name_of


@base_of("data")
@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of images that is not loaded yet; its fields are the options that a recipe may set.

    Shape: `crop` to a central square, then `resize` the shorter side, then `pad` with zeros on each side.

    Splits: an official split is kept. Without an official test split the images are shuffled by `seed`, and
    the last `test_size` are the test images. Validation images are the last `valid_size` of those that
    remain, training images the first `train_size` of the rest. None means the official size, a tenth of the
    images, or all that remain.

    Binarising: `threshold` is x > ½; `fixed` draws each pixel once as a Bernoulli variable, by `seed`;
    `dynamic` draws training pixels anew in every batch, and validation and test pixels once with the seed
    777, in this order, as the VampPrior paper does (Tomczak & Welling 2018; bit for bit its images for
    `mnist` at valid_size 10000).
    """

    crop: Size | None = None
    resize: Size | None = None
    pad: Count = 0
    binarise: Literal["none", "dynamic", "fixed", "threshold"] = "none"
    flip: bool = False
    train_size: Size | None = None
    valid_size: Size | None = None
    test_size: Size | None = None
    seed: Seed = 0

    @property
    def name(self) -> str:
        """That by which the set is registered, else that of its class."""
        return name_of("data", type(self)) or type(self).__name__

    def read(self, directory: Directory) -> Pool:
        """Find and check the files, and return their images; for each set to define."""
        raise UsageError(f"{type(self).__name__} has no read(directory); write one that returns a Pool of Splits")

    def pool(self, directory: Directory = None) -> Pool:
        """What `read` returns, which may be written by anyone, and is checked here for every use of it."""
        by = f"{type(self).__name__}.read"
        try:
            found = self.read(directory)
        except (VaelabError, OSError, MemoryError):
            raise
        except Exception as error:
            place = extract_tb(error.__traceback__)[:2][-1]  # the line in `read`, not where that led to
            at = f"{place.filename}:{place.lineno}"
            raise UsageError(f"{by} fails at {at}: {type(error).__name__}: {error}; mend it") from error
        return checked(found, f"{by} returns")

    def load(self, directory: Directory = None) -> Dataset:
        """The set with all options applied; `directory` is searched before the other places (`places.places`).

        Raises UsageError for files that are missing or damaged and for sizes that the set does not have.
        """
        pool = self.pool(directory)
        splits = self._cut(pool)
        if not pool.finished:
            splits = [replace(split, images=self.shape(split.images)) for split in splits]
        train, valid, test = self._binarised(splits)
        return Dataset(
            name=self.name,
            train=train,
            valid=valid,
            test=test,
            classes=pool.classes,
            factor_names=pool.factor_names,
            binary=self.binarise != "none" or (pool.binary and self.resize is None),
            dynamic=self.binarise == "dynamic",
            flip=self.flip,
            split_by=pool.split_by or ("its publisher" if pool.test else "seed"),
        )

    def shape(self, x: Tensor) -> Tensor:
        """Crop, resize and pad uint8 images [N, C, H, W] as the options say."""
        x = images.crop(x, self.crop) if self.crop else x
        x = images.resize(x, self.resize) if self.resize else x
        return images.pad(x, self.pad)

    def permutation(self, count: int) -> np.ndarray:
        """The order of a set without an official split."""
        return images.stream(self.seed, "order").permutation(count)

    def shuffled(self, split: Split) -> Split:
        """The images in the order of a set without an official split."""
        return split[torch.from_numpy(self.permutation(len(split)))]

    def _cut(self, pool: Pool) -> list[Split]:
        """Train, valid and test, of the sizes that are wanted."""
        rest = pool.train if pool.test or pool.finished else self.shuffled(pool.train)
        total, held_out = len(rest), []
        for name, official, size in (("test", pool.test, self.test_size), ("valid", pool.valid, self.valid_size)):
            if official is not None:
                self._check(name, size or 1, len(official), len(official))
                held_out.append(official[:size])
                continue
            size = size or max(1, total // 10)
            self._check(name, size, len(rest), total)
            held_out.append(rest[-size:])
            rest = rest[:-size]
        self._check("train", self.train_size or 1, len(rest), len(pool.train))
        return [rest[: self.train_size], *reversed(held_out)]

    def _check(self, split: str, size: int, available: int, total: int) -> None:
        if size > available:
            raise UsageError(
                f"{self.name}: the {split} split needs {size:,} images, {available:,} of {total:,} are left; "
                "lower train_size, valid_size or test_size, or give more images"
            )

    def _binarised(self, splits: list[Split]) -> list[Split]:
        """Train, valid, test; each with its own random numbers, but for the 777 that two of them share."""
        if self.binarise == "threshold":
            return [replace(split, images=images.threshold(split.images)) for split in splits]
        if self.binarise == "none":
            return splits
        if self.binarise == "fixed":
            streams = [images.stream(self.seed, name) for name in ("train", "valid", "test")]
        else:
            streams = [None, *[np.random.RandomState(777)] * 2]
        pairs = zip(splits, streams, strict=True)
        return [replace(s, images=images.bernoulli(s.images, random)) if random else s for s, random in pairs]
