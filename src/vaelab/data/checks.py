"""Checks of what a `read` returns, which may be written by anyone: each problem a sentence with its fix."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vaelab.data.axes import CHANNELS, channels_last
from vaelab.data.split import Pool, Split
from vaelab.data.stored import Images, pieces
from vaelab.errors import UsageError
from vaelab.io.formatting import counted

KINDS = (torch.uint8, torch.uint16, torch.float32)
LOOKED_AT = 1000  # images whose levels are told from those of images in [0, 1]


def checked(found: Any, by: str) -> Pool:
    """The pool itself, or a UsageError that says in one sentence what is wrong with it and how to mend it.

    `by` says who returned it, and may have returned anything: "MySet.read returns".
    """
    for problem in _problems(found):
        raise UsageError(f"{by} {problem}")
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
    sizes = {name: "×".join(map(str, split.images.shape[1:])) for name, split in pool.splits.items()}
    kinds = {name: _kind(split.images) for name, split in pool.splits.items()}
    if len(set(kinds.values())) > 1:
        yield f"images of different types, {_listing(kinds)}; bring all to one"
    if len(set(sizes.values())) > 1:
        yield f"images of different shapes, {_listing(sizes)}; bring all to one"
    labelled = {name: "none" if split.labels is None else "labels" for name, split in pool.splits.items()}
    if len(set(labelled.values())) > 1:
        yield f"{_listing(labelled)}; give labels to every split or to none"


def _of_images(x: Any, name: str, finished: bool) -> Iterator[str]:
    if not isinstance(x, Tensor | Images):
        yield f"the {name} images as {_a(x)}; make them a tensor, with torch.from_numpy or torch.stack"
    if x.dtype not in KINDS:
        bits = "images.to(torch.uint8) * 255" if x.dtype == torch.bool else "images.to(torch.uint8)"
        fix = "images.float()" if x.dtype.is_floating_point or x.dtype not in (torch.bool, torch.int64) else bits
        yield f"the {name} images as {_kind(x)}, and values are uint8, uint16 or float32; give {fix}"
    found = f"the {name} images as {list(x.shape)}"
    if x.ndim != 4:
        fix = "images[:, None]" if x.ndim == 3 else "images of that shape"
        yield f"{found}, and a set is [N, C, H, W]; give {fix}"
    if not x.numel():
        yield f"no {name} images: their shape is {list(x.shape)}; leave the split out, or find out where they are"
    if channels_last(x.shape):
        yield f"{found}, channels last, and a set is [N, C, H, W]; give images.movedim(-1, 1)"
    if x.shape[1] > CHANNELS:
        yield f"{found}, and {CHANNELS} channels are the most; leave some out"
    if x.dtype == torch.uint8 and not finished and x[:LOOKED_AT].max() == 1:
        yield f"the {name} images with levels 0 and 1 only, and white is 255; give images * 255"
    if x.dtype == torch.float32 and (places := _not_finite(x)):
        place = "image {}, channel {}, row {}, column {}".format(*places[0])
        what = f"the {name} images have {counted(len(places), 'value')} NaN or infinite, the first at {place}"
        raise UsageError(what, "mend them")  # which is no fault of who reads them


def _not_finite(x: Tensor | Images) -> list[tuple[int, ...]]:
    """Image, channel, row and column of each value that is none, in their order."""
    found: list[tuple[int, ...]] = []
    for numbers, part in pieces(x):
        places = (~part.isfinite()).nonzero()
        found += [(numbers[image], *rest) for image, *rest in places.tolist()]
    return found


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
        yield f"the {name} labels as {list(y.shape)} beside {len(split):,} images; give one number for each"
    low, high = y.min().item(), y.max().item()
    if low < 0 or (classes is not None and high >= len(classes)):
        known = "" if classes is None else f" of {len(classes)} classes"
        yield f"{name} labels from {low} to {high}{known}; count them from 0, without gaps"


def _of_factors(split: Split, name: str, names: Any) -> Iterator[str]:
    f = split.factors
    if f is None:
        return
    if not isinstance(f, Tensor) or f.dtype != torch.float32 or f.ndim != 2 or len(f) != len(split):
        what = f"{_kind(f)} {list(f.shape)}" if isinstance(f, Tensor) else _a(f)
        yield f"the {name} factors as {what}; give float32 [{len(split)}, F]"
    if names is not None and len(names) != f.shape[1]:
        yield f"{f.shape[1]} {name} factors and {len(names)} names of them; give a name for each"


def _listing(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _a(value: Any) -> str:
    return f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")


def _kind(x: Tensor | Images) -> str:
    return str(x.dtype).removeprefix("torch.")
