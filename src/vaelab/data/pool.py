"""What a set of images consists of, splits of uint8 tensors, and the check that they are what they should be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import UsageError

LOOKED_AT = 1000  # images whose levels are told from those of images in [0, 1]


@dataclass(frozen=True)
class Split:
    """Images, and what is known about each: uint8 [N, C, H, W], class int64 [N], factors float32 [N, F]."""

    images: Tensor
    labels: Tensor | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> "Split":
        """Some of the images: a slice shares memory, an index tensor copies."""
        return Split(*(None if t is None else t[index] for t in (self.images, self.labels, self.factors)))  # pyright: ignore[reportArgumentType]

    def as_input(self, device: torch.device, labelled: bool) -> tuple[Tensor, Tensor | None]:
        """What a model takes: float32 images in [0, 1], and their classes if it sees them, on its device."""
        y = self.labels.to(device) if labelled and self.labels is not None else None
        return self.images.to(device).float() / 255, y


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


def cut(everything: Split, numbers: np.ndarray) -> list[Split]:
    """Train, valid and test of images in this order, whose split is numbered 0, 1, 2."""
    ends = np.searchsorted(numbers, range(3), side="right")
    return [everything[start:end] for start, end in zip((0, *ends), ends, strict=False)]


def checked(found: Any, by: str) -> Pool:
    """The pool itself, or a UsageError that says in one sentence what is wrong with it and how to mend it.

    `by` is who returned it, and may have returned anything.
    """
    for problem in _problems(found):
        raise UsageError(f"{by} returns {problem}")
    return found


def _problems(pool: Any) -> Iterator[str]:
    """The first is what is wrong; each test relies on those before it."""
    if not isinstance(pool, Pool):
        yield f"{_a(pool)}; return a Pool, such as Pool(Split(images, labels))"
    for name, split in pool.splits.items():
        if not isinstance(split, Split):
            yield f"{_a(split)} as {name}; make it a Split(images, labels)"
        yield from _of_images(split.images, name, pool.finished)
        yield from _of_labels(split, name, pool.classes)
        yield from _of_factors(split, name, pool.factor_names)
    yield from _disagreements(pool)


def _of_images(x: Any, name: str, decoded: bool) -> Iterator[str]:
    if not isinstance(x, Tensor):
        yield f"the {name} images as {_a(x)}; make them a tensor, with torch.from_numpy or torch.stack"
    if x.dtype != torch.uint8:
        bits = "images.to(torch.uint8) * 255" if x.dtype == torch.bool else "images.to(torch.uint8)"
        fix = "(images * 255).round().to(torch.uint8)" if x.is_floating_point() and x.numel() and x.max() <= 1 else bits
        yield f"the {name} images as {_kind(x)}, and levels are uint8 from 0 to 255; give {fix}"
    if x.ndim != 4:
        fix = "images[:, None]" if x.ndim == 3 else "images of that shape"
        yield f"the {name} images as {_shape(x)}, and a set is [N, C, H, W]; give {fix}"
    if x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        yield f"the {name} images as {_shape(x)}, channels last, and a set is [N, C, H, W]; give images.movedim(-1, 1)"
    if not x.numel():
        yield f"no {name} images: their shape is {_shape(x)}; leave the split out, or find out where they are"
    if not decoded and x[:LOOKED_AT].max() == 1:
        yield f"the {name} images with levels 0 and 1 only, and white is 255; give images * 255"


def _of_labels(split: Split, name: str, classes: Any) -> Iterator[str]:
    y = split.labels
    if classes is not None and not (isinstance(classes, tuple) and all(isinstance(c, str) for c in classes)):
        yield f"classes as {classes!r}; give a tuple of their names"
    if y is None:
        return
    if not isinstance(y, Tensor):
        yield f"the {name} labels as {_a(y)}; give torch.as_tensor(labels)"
    if y.dtype != torch.int64:
        yield f"the {name} labels as {_kind(y)}, and classes are counted in int64; give labels.long()"
    if y.shape != (len(split),):
        yield f"the {name} labels as {_shape(y)} beside {len(split):,} images; give one number for each"
    low, high = y.min().item(), y.max().item()
    if low < 0 or (classes is not None and high >= len(classes)):
        known = "" if classes is None else f" of {len(classes)} classes"
        yield f"{name} labels from {low} to {high}{known}; count them from 0, without gaps"


def _of_factors(split: Split, name: str, names: Any) -> Iterator[str]:
    f = split.factors
    if f is None:
        return
    if not isinstance(f, Tensor) or f.dtype != torch.float32 or f.ndim != 2 or len(f) != len(split):
        what = f"{_kind(f)} {_shape(f)}" if isinstance(f, Tensor) else _a(f)
        yield f"the {name} factors as {what}; give float32 [{len(split)}, F]"
    if names is not None and len(names) != f.shape[1]:
        yield f"{f.shape[1]} {name} factors and {len(names)} names of them; give a name for each"


def _disagreements(pool: Pool) -> Iterator[str]:
    """Between splits."""
    sizes = {name: "×".join(map(str, split.images.shape[1:])) for name, split in pool.splits.items()}
    if len(set(sizes.values())) > 1:
        yield f"images of different shapes, {_listing(sizes)}; bring all to one"
    if len({split.labels is None for split in pool.splits.values()}) > 1:
        labelled = {name: "labels" if split.labels is not None else "none" for name, split in pool.splits.items()}
        yield f"{_listing(labelled)}; give labels to every split or to none"


def _listing(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _a(value: Any) -> str:
    return f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")


def _kind(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _shape(x: Tensor) -> str:
    return str(list(x.shape))
