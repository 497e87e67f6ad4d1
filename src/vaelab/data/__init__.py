"""Sets of images: found or downloaded, checked, split, and kept as uint8 tensors."""

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.dataset import Dataset, Pool, Split
from vaelab.data.images import to_bytes
from vaelab.data.source import Source
from vaelab.errors import Problems, UsageError
from vaelab.registry import discover
from vaelab.registry.schema import build, check

discover(__name__)


def load(name: str, directory: str | os.PathLike | None = None, **options: Any) -> Dataset:
    """The set registered as `name`, with the options that a recipe may give it (`vaelab list data`).

    `directory` is where its files are looked for first, laid out as `<directory>/<name>/…`; then come the
    folder in `VAELAB_DATA`, the user's cache, and a download. Raises UsageError for a wrong option or a
    missing file.
    """
    plain = {key: os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in options.items()}
    return load_set({"kind": name, **plain}, directory)


def from_arrays(
    images: np.ndarray | Tensor,
    labels: np.ndarray | Tensor | None = None,
    *,
    test: tuple[np.ndarray | Tensor, np.ndarray | Tensor | None] | None = None,
    classes: tuple[str, ...] | None = None,
    **options: Any,
) -> Dataset:
    """A set of images at hand, [N, C, H, W] or [N, H, W], uint8 or in [0, 1], with the options of every set (`Source`).

    `labels` count from 0; `test` are images and labels of an official test split. Values in [0, 1] are rounded to 256
    levels. Raises UsageError for a wrong option, and for what are no images.
    """
    pool = Pool(_split(images, labels), test=_split(*test) if test else None, classes=classes)

    class Arrays(Source):
        def read(self, directory: str | os.PathLike | None) -> Pool:
            return pool

    if problems := check(Source, options, "data"):
        raise Problems(problems, "the options have these problems")
    return Arrays(**options).load()


def _split(images: np.ndarray | Tensor, labels: np.ndarray | Tensor | None = None) -> Split:
    x = torch.as_tensor(images)
    x = to_bytes(x) if x.is_floating_point() and x.numel() and x.min() >= 0 and x.max() <= 1 else x.cpu()
    return Split(x[:, None] if x.ndim == 3 else x, None if labels is None else torch.as_tensor(labels).cpu().long())


def load_set(spec: Any, directory: str | os.PathLike | None = None, where: str = "data") -> Dataset:
    """The set that a recipe describes, as in its section `where`; see `load`."""
    return source_of(spec, where).load(directory)


def source_of(spec: Any, where: str = "data") -> Source:
    """The set that a recipe describes, not loaded yet; UsageError where the part is of another kind."""
    source = build("data", spec, where)
    if not isinstance(source, Source):
        raise UsageError(f"{where}: {type(source).__name__} is no Source; register a class derived from that")
    return source
