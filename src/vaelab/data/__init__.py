"""Sets of images: found or downloaded, checked, split, and kept as uint8 tensors."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.checks import checked
from vaelab.data.dataset import Dataset, Pool, Split
from vaelab.data.images import to_bytes
from vaelab.data.source import Source
from vaelab.errors import Problems, UsageError
from vaelab.registry import discover
from vaelab.registry.schema import build, parse

discover(__name__)

Array = np.ndarray | Tensor


def load(name: str, directory: str | os.PathLike | None = None, **options: Any) -> Dataset:
    """The set registered as `name`, with the options that a recipe may give it (`vaelab list data`).

    `directory` is where its files are looked for first, laid out as `<directory>/<name>/…`; then come the
    folder in `VAELAB_DATA`, the user's cache, and a download. Raises UsageError for a wrong option or a
    missing file.
    """
    plain = {key: os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in options.items()}
    return load_set({"kind": name, **plain}, directory)


def from_arrays(
    images: Array,
    labels: Array | None = None,
    *,
    valid: tuple[Array, Array | None] | None = None,
    test: tuple[Array, Array | None] | None = None,
    classes: tuple[str, ...] | None = None,
    **options: Any,
) -> Dataset:
    """A set of images at hand, [N, C, H, W] or [N, H, W], uint8 or in [0, 1], with the options of every set (`Source`).

    `labels` count from 0; `valid` and `test` are images and labels of splits that are there already. Values in [0, 1]
    are rounded to 256 levels. Raises UsageError for a wrong option, and for what are no images.
    """
    given = {"train": (images, labels), "valid": valid, "test": test}
    splits = {name: _split(name, *pair) for name, pair in given.items() if pair}
    binary = bool(((splits["train"].images == 0) | (splits["train"].images == 255)).all())
    pool = checked(
        Pool(
            splits["train"],
            splits.get("valid"),
            splits.get("test"),
            classes=classes,
            binary=binary,
            split_by="its caller" if valid or test else None,
        ),
        "the data holds",
    )

    chosen = parse(Source, options, "data", problems := [])
    if problems:
        raise Problems(problems, "the options have these problems")
    return type("arrays", (Source,), {"read": lambda self, directory: pool})(**chosen).load()


def as_dataset(data: Any, directory: str | os.PathLike | None = None) -> Dataset:
    """A set from whatever form it is given in.

    A `Dataset`; images, or a pair of images and labels; {"train": …, "valid": …, "test": …} of such, where what is
    missing is taken from the training images; or a registered set, "mnist" or {"kind": "mnist", "resize": 32}.
    """
    if isinstance(data, Dataset):
        return data
    if is_registered(data):
        return load_set(data, directory)
    splits = data if isinstance(data, Mapping) else {"train": data}
    splits = {name: found for name, found in splits.items() if found is not None}
    if odd := [str(name) for name in splits if name not in ("train", "valid", "test")]:
        raise UsageError(f"data has no split {odd[0]!r}", "name its images train, valid and test")
    if "train" not in splits:
        raise UsageError("there are no images to train on", 'give data, or data={"train": images, "test": others}')
    pairs: dict[str, Any] = {
        name: found if isinstance(found, tuple) else (found, None) for name, found in splits.items()
    }
    if odd := [name for name, pair in pairs.items() if len(pair) != 2]:
        raise UsageError(f"the {odd[0]} split is {len(pairs[odd[0]])} things", "give images, or (images, labels)")
    return from_arrays(*pairs.pop("train"), **pairs)


def is_registered(data: Any) -> bool:
    """Whether data is the name of a registered set, or that with options."""
    return isinstance(data, str) or (isinstance(data, Mapping) and "kind" in data)


def _split(name: str, images: Array, labels: Array | None) -> Split:
    try:
        x, y = (None if given is None else torch.as_tensor(given).detach().cpu() for given in (images, labels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"the {name} images or labels are no array: {error}", "give tensors or numpy arrays"
        ) from error
    assert x is not None
    if x.is_floating_point():
        if x.numel() and not (x.min() >= 0 and x.max() <= 1):  # also where one is not a number
            span = f"values from {x.min():g} to {x.max():g}"
            raise UsageError(f"the {name} images have {span}", "scale them to [0, 1], or give levels as uint8")
        x = to_bytes(x)
    return Split(x[:, None] if x.ndim == 3 else x, y if y is None or y.is_floating_point() else y.long())


def load_set(spec: Any, directory: str | os.PathLike | None = None, where: str = "data") -> Dataset:
    """The set that a recipe describes, as in its section `where`; see `load`."""
    return build("data", spec, where).load(directory)
