"""Sets of images that a model is trained on, and the options that every one of them takes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vaelab.data import images
from vaelab.data.axes import Array, splits_of
from vaelab.data.checks import checked
from vaelab.data.permutation import LISTED, Permutation
from vaelab.data.scale import EIGHT_BIT, HIGHEST, Rule, Scale, refuse_rule, scale_of, scaled, scaled_images
from vaelab.data.split import Pool, Split, cut
from vaelab.data.stored import Images, Numbers
from vaelab.errors import Problems, UsageError
from vaelab.registry import Count, Seed, Size
from vaelab.registry.schema import parse_section

HASHED_BYTES = 2**26  # of a split
HASHED = 2**16  # images of one that has more bytes: each may have to be found on a disk
DEPTHS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "real-valued"}
DARK, DARK_IMAGES = 1 / 8, 100  # a part of what 16 bits hold, and how many images are looked at for it
KINDS = {1: "grey", 3: "colour"}


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
    scale: Scale = EIGHT_BIT  # of the values that are stored
    colours: tuple[int, int, int] | None = None  # the channels that are shown as red, green and blue

    @classmethod
    def of(
        cls,
        train: Array | Images,
        labels: Array | Mapping[str, Array] | None = None,
        *,
        valid: Any = None,
        test: Any = None,
        axes: str | None = None,
        classes: tuple[str, ...] | None = None,
        **options: Any,
    ) -> "Dataset":
        """A set of images at hand, arrays of numpy or torch: [N, C, H, W] or [N, H, W], or as `axes` says, as "NHWC".

        uint8, uint16 or real numbers, of 1 to 16 channels; `options` are those of every set (`Preparation`), such as
        scale. `labels` count from 0; where `valid` or `test` is given, they are {"train": …, "valid": …}, or each split
        is a pair of images and labels. Raises UsageError for a wrong option, and for what are no images.
        """
        preparation = parse_section(Preparation, options, "data", problems := [])
        if problems:
            raise Problems(problems, "the options have these problems")
        splits = splits_of({"train": train, "valid": valid, "test": test}, labels, axes, preparation.scale == "full")
        first, by = splits["train"].images, "its caller" if len(splits) > 1 else None
        binary = isinstance(first, Tensor) and bool(((first == 0) | (first == 255)).all())
        pool = Pool(splits["train"], splits.get("valid"), splits.get("test"), classes, binary=binary, split_by=by)
        return preparation.prepare(checked(pool, "the data holds"), "arrays")

    @property
    def summary(self) -> str:
        """The set in a line: how many images, of what kind and size, of how many classes, and how they are split."""
        channels, height, width = self.x_shape
        depth = "" if self.scale.stored == "uint8" else f"{DEPTHS[self.scale.stored]} "
        kind = "binary" if self.binary else depth + KINDS.get(channels, f"{channels}-channel")
        total = len(self.train) + len(self.valid) + len(self.test)
        classes = f" in {self.class_count:,} class{'es' * (self.class_count > 1)}" if self.class_count else ""
        return f"{total:,} {kind} images of {height} × {width}{classes}, split by {self.split_by}{self._dark}"

    @property
    def _dark(self) -> str:
        """That images of 16 bits use few of these, as those of 12 bits do; nothing of others."""
        if (self.scale.stored, self.scale.high) != ("uint16", HIGHEST["uint16"]):
            return ""
        some = self.train.images[:: -(-len(self.train) // DARK_IMAGES)]
        highest = max(1, round(some.max().item() * HIGHEST["uint16"]))
        if highest >= DARK * HIGHEST["uint16"]:
            return ""
        fix = f"set data.scale to percentile, or to {{low: 0, high: {2 ** highest.bit_length() - 1}}}"
        return f"; dark, since they reach {highest:,} of 65,535: {fix}"

    @cached_property
    def digest(self) -> str:
        """What tells this set from another, for people to read: sizes and shape, and a hash of images and labels.

        Of splits of more than HASHED_BYTES, evenly spaced images are hashed (half a second in all).
        """
        splits = self.train, self.valid, self.test
        content = hashlib.blake2b(digest_size=6)
        for split in splits:
            few = split.images.nbytes < HASHED_BYTES
            x = split.images[:: 1 if few else 1 + max(split.images.nbytes // HASHED_BYTES, len(split) // HASHED)]
            for part in x.split(max(1, images.CHUNK // x[0].numel())):
                content.update(part.contiguous().numpy().data)
            content.update(b"" if split.labels is None else split.labels.numpy().data)
        sizes = " + ".join(f"{len(split):,}" for split in splits)
        return f"{sizes} images of {'×'.join(map(str, self.x_shape))} ({content.hexdigest()})"

    def on(self, scale: Scale) -> "Dataset":
        """The same images by another scale, such as that of a model; UsageError where they are of another depth."""
        if scale == self.scale:
            return self
        mine, wanted = DEPTHS[self.scale.stored], DEPTHS[scale.stored]
        if mine != wanted:
            raise UsageError(
                f"the images of {self.name} are {mine}, and the model takes {wanted}", "give it such images"
            )

        def moved(x: Tensor) -> Tensor:
            return scaled(self.scale.to_values(x) if x.is_floating_point() else x, scale)

        def of(split: Split) -> Split:
            x = split.images
            if isinstance(x, Tensor):
                return replace(split, images=moved(x))
            return replace(split, images=x.map(lambda batch, rows: moved(batch), dtype=moved(x[:1]).dtype))

        return replace(self, train=of(self.train), valid=of(self.valid), test=of(self.test), scale=scale)

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
        """A training batch [B, C, H, W] -> float32 in [0, 1], flipped and binarised if so chosen.

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


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What becomes of images before a model sees them; its fields are the options of every set.

    Shape: `crop` to a central square, then `resize` the shorter side, then `pad` with zeros on each side.

    Values: x = (value − low) / (high − low), by one rule that is kept with the model. `scale` is `full`, all that the
    stored type can hold (of real numbers [0, 1], or what the training images span if that is more); `percentile`, from
    the 0.1st to the 99.9th of the training images; or `{low: …, high: …}` or `{percentile: [1, 99]}`. What lies outside
    becomes 0 or 1, unless `clip: false` is in it.

    Splits: an official split is kept. Without an official test split the images are shuffled by `seed`, and
    the last `test_size` are the test images. Validation images are the last `valid_size` of those that
    remain, training images the first `train_size` of the rest. None means the official size, a tenth of the
    images, or all that remain.

    Binarising: `threshold` is x > ½; `fixed` draws each pixel once as a Bernoulli variable, by `seed`;
    `dynamic` draws training pixels anew in every batch, and validation and test pixels once with the seed
    777, in this order, as the VampPrior paper does (Tomczak & Welling 2018; bit for bit its images for
    `mnist` at valid_size 10000).

    Show: of images of neither 1 nor 3 channels each channel in a row of its own, or `colours`, the numbers of those
    that are red, green and blue, from 0.
    """

    crop: Size | None = None
    resize: Size | None = None
    pad: Count = 0
    scale: Literal["full", "percentile"] | Rule = "full"
    binarise: Literal["none", "dynamic", "fixed", "threshold"] = "none"
    flip: bool = False
    train_size: Size | None = None
    valid_size: Size | None = None
    test_size: Size | None = None
    seed: Seed = 0
    colours: tuple[Count, Count, Count] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.scale, str):
            refuse_rule(self.scale)

    def prepare(self, pool: Pool, name: str) -> Dataset:
        """The set with all options applied; UsageError for sizes, channels or a scale that it does not have."""
        pool = pool if pool.test or pool.finished else pool._replace(train=self.shuffled(pool.train))
        splits = cut(pool, name, self.train_size, self.valid_size, self.test_size)
        if not pool.finished:
            splits = [replace(split, images=self.shape(split.images)) for split in splits]
        scale = scale_of(self.scale, splits[0].images)
        train, valid, test = self._binarised([replace(s, images=scaled_images(s.images, scale)) for s in splits])
        if self.colours and max(self.colours) >= train.images.shape[1]:
            raise UsageError(f"{name}: data.colours are channels 0 to {train.images.shape[1] - 1} of these images")
        return Dataset(
            name=name,
            train=train,
            valid=valid,
            test=test,
            classes=pool.classes,
            factor_names=pool.factor_names,
            binary=self.binarise != "none" or (pool.binary and self.resize is None) or scale.levels == 2,
            dynamic=self.binarise == "dynamic",
            flip=self.flip,
            split_by=pool.split_by or ("its publisher" if pool.test else "seed"),
            scale=scale if self.binarise == "none" else EIGHT_BIT,
            colours=self.colours,
        )

    def shape(self, x: Tensor | Images) -> Tensor | Images:
        """Crop, resize and pad stored images [N, C, H, W] as the options say."""
        if isinstance(x, Images):
            if not (self.crop or self.resize or self.pad):
                return x
            return x.map(lambda batch, rows: self._shaped(batch), self._shaped(x[:1]).shape[1:])
        return self._shaped(x)

    def _shaped(self, x: Tensor) -> Tensor:
        x = images.crop(x, self.crop) if self.crop else x
        x = images.resize(x, self.resize) if self.resize else x
        return images.pad(x, self.pad)

    def permutation(self, count: int) -> Numbers:
        """The order of a set without an official split."""
        if count > LISTED:
            return Permutation(count, self.seed)
        return torch.from_numpy(images.stream(self.seed, "order").permutation(count))

    def shuffled(self, split: Split) -> Split:
        """The images in the order of a set without an official split."""
        return split.shuffled(self.permutation(len(split)))

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
