"""What a set of images is: three splits, and the options that every set takes."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from traceback import extract_tb
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from vaelab.data import images
from vaelab.data.pool import Pool, Split, checked
from vaelab.errors import UsageError, VaelabError
from vaelab.io.files import Folder
from vaelab.registry import Count, Seed, Size

HASHED = 2**26  # bytes of a split


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

        Of splits of more than HASHED bytes, evenly spaced images are hashed (half a second in all).
        """
        splits = self.train, self.valid, self.test
        content = hashlib.blake2b(digest_size=6)
        for split in splits:
            x = split.images[:: 1 + split.images.nbytes // HASHED]
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
        x = self.as_float(x)
        if self.flip:
            heads = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
            x = torch.where(heads, x.flip(-1), x)
        if self.dynamic:
            x = (torch.rand_like(x) < x).float()
        return x

    def as_seen(self) -> Split:
        """The training images as a model sees them: of a dynamic set, each pixel drawn once."""
        return self._drawn if self.dynamic else self.train

    @cached_property
    def _drawn(self) -> Split:
        return replace(self.train, images=images.bernoulli(self.train.images, images.stream(0, "seen")))

    def as_float(self, x: Tensor) -> Tensor:
        """A batch for evaluation, uint8 -> float32 in [0, 1]."""
        return x.float() / 255


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

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """A set that is given no name has that of its class."""
        super().__init_subclass__()
        cls.name = vars(cls).get("name", cls.__name__)

    def read(self, directory: Folder) -> Pool:
        """Find and check the files, and return their images; for each set to define."""
        raise UsageError(f"{type(self).__name__} has no read(directory); write one that returns a Pool of Splits")

    def pool(self, directory: Folder = None) -> Pool:
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
        return checked(found, by)

    def load(self, directory: Folder = None) -> Dataset:
        """The set with all options applied; `directory` is searched before the other places (`files.places`).

        Raises UsageError for files that are missing or damaged and for sizes that the set does not have.
        """
        pool = self.pool(directory)
        train, valid, test = self._cut(pool)
        if not pool.finished:
            train, valid, test = (replace(s, images=self.shape(s.images)) for s in (train, valid, test))
        train, valid, test = self._binarised(train, valid, test)
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

    def _cut(self, pool: Pool) -> tuple[Split, Split, Split]:
        rest = pool.train
        if pool.test is None and not pool.finished:
            rest = rest[torch.from_numpy(self.permutation(len(rest)))]
        total = len(rest)
        rest, test = self._hold_out("test", rest, pool.test, self.test_size, total)
        rest, valid = self._hold_out("valid", rest, pool.valid, self.valid_size, total)
        self._check("train", self.train_size or 1, len(rest), len(pool.train))
        return rest[: self.train_size], valid, test

    def _hold_out(
        self, split: str, rest: Split, official: Split | None, size: int | None, total: int
    ) -> tuple[Split, Split]:
        """What remains, and the split."""
        if official is not None:
            self._check(split, size or 1, len(official), len(official))
            return rest, official[:size]
        size = size or max(1, total // 10)
        self._check(split, size, len(rest), total)
        return rest[:-size], rest[-size:]

    def _check(self, split: str, size: int, available: int, total: int) -> None:
        if size > available:
            raise UsageError(
                f"{self.name}: the {split} split needs {size:,} images, {available:,} of {total:,} are left; "
                "lower train_size, valid_size or test_size, or give more images"
            )

    def _binarised(self, *splits: Split) -> list[Split]:
        """Train, valid, test; each with its own random numbers, but for the 777 that two of them share."""
        seed_777 = np.random.RandomState(777)
        done = []
        for split, role in zip(splits, ("train", "valid", "test"), strict=True):
            x = split.images
            if self.binarise == "threshold":
                x = images.threshold(x)
            elif self.binarise == "fixed":
                x = images.bernoulli(x, images.stream(self.seed, role))
            elif self.binarise == "dynamic" and role != "train":
                x = images.bernoulli(x, seed_777)
            done.append(replace(split, images=x))
        return done
