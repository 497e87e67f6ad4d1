"""Sets of images: found or downloaded, checked, and split."""

import os
from collections.abc import Mapping
from typing import Any

from vaelab.data.dataset import Dataset
from vaelab.errors import UsageError
from vaelab.registry import discover
from vaelab.registry.schema import build

discover(__name__)


def load(name: str, directory: str | os.PathLike | None = None, **options: Any) -> Dataset:
    """The set registered as `name`, with the options that a recipe may give it (`vaelab list data`).

    `directory` is where its files are looked for first, laid out as `<directory>/<name>/…`; then come the
    folder in `VAELAB_DATA`, the user's cache, and a download. Raises UsageError for a wrong option or a
    missing file.
    """
    plain = {key: os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in options.items()}
    return load_set({"kind": name, **plain}, directory)


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
    return Dataset.of(**splits)


def is_registered(data: Any) -> bool:
    """Whether data is the name of a registered set, or that with options."""
    return isinstance(data, str) or (isinstance(data, Mapping) and "kind" in data)


def load_set(spec: Any, directory: str | os.PathLike | None = None, where: str = "data") -> Dataset:
    """The set that a recipe describes, as in its section `where`; see `load`."""
    return build("data", spec, where).load(directory)
