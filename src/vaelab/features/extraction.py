"""Extractors of features from images; features are computed once, and found again by the content of images."""

import contextlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vaelab.data.stored import Images
from vaelab.errors import VaelabError
from vaelab.io import files, places
from vaelab.io.hashing import bytes_hash
from vaelab.io.memory import refuse_too_large
from vaelab.io.progress import over

ROWS = 64  # images in a batch
HASHED_ROWS = 1000  # hashed at a time, because images may be mapped from a file larger than memory
WORKED = 24  # bytes that a feature takes where distances are measured: it, and copies of it in float64
MEMORY = 2**30  # bytes of features that are kept, the latest

_latest: dict[str, Tensor] = {}


class Extractor(Protocol):
    """Images to features; its name, hash and resize rule stand beside every number that rests on it."""

    name: str
    hash: str  # of its weights, 12 hex digits of their sha256; empty where it has none
    resize: str  # in words, what is done to images before the network sees them

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W], uint8 or in [0, 1], on any device -> float32 features [B, F] on the extractor's."""
        ...


def features(extractor: Extractor, images: Tensor | Images, *, keep: bool = False) -> Tensor:
    """Features, float32 [N, F] on the CPU, of images [N, C, H, W]; the tensor is shared, do not write into it.

    They are found again by content: the extractor's name, hash and resize rule, and the sha256 of the images. With
    `keep` also by later programs, below `cache()/features`. Raises VaelabError where features are not finite, and
    UsageError where they do not fit into memory.
    """
    key = sha256([images], extractor.name, extractor.hash, extractor.resize)
    path = places.cache() / "features" / f"{key}.npy" if keep else None
    found = _latest.pop(key, None)
    if found is None and path:
        found = _read(path, len(images))
    if found is None:
        found = _compute(extractor, images)
    if path and not path.is_file():
        with contextlib.suppress(VaelabError):  # a full disk costs the time of another computation, not the numbers
            files.write_whole(path, lambda target: _write(target, found))
    _remember(key, found)
    return found


@torch.no_grad()
def _compute(extractor: Extractor, images: Tensor | Images) -> Tensor:
    found = torch.empty(0, 0)
    for start in over(range(0, len(images), ROWS)):
        rows = extractor(images[start : start + ROWS]).float().cpu()
        if not start:
            count, width = len(images), rows.shape[1]
            refuse_too_large(WORKED * count * width, f"{count:,} rows of {width:,} features", "take fewer images")
            found = rows.new_empty(count, width)
        found[start : start + ROWS] = rows
    if not found.isfinite().all():
        raise VaelabError(f"extractor {extractor.name!r} gave features that are not finite; choose another one")
    return found


def _read(path: Path, count: int) -> Tensor | None:
    """What the file holds; None where there is none, or a damaged one, which is deleted."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        found = np.load(path)
        if found.dtype == np.float32 and found.ndim == 2 and len(found) == count and np.isfinite(found).all():
            return torch.from_numpy(found)
    with contextlib.suppress(OSError):
        path.unlink()
    return None


def _write(path: Path, found: Tensor) -> None:
    with path.open("wb") as file:  # a path would be given the suffix .npy
        np.save(file, found.numpy())


def _remember(key: str, found: Tensor) -> None:
    _latest[key] = found
    while sum(kept.nbytes for kept in _latest.values()) > MEMORY:
        del _latest[next(iter(_latest))]


def sha256(tensors: Iterable[Tensor | Images], *words: object) -> str:
    """The sha256 of tensors or images [N, …], their shapes and types, and of what else tells two contents apart."""
    tensors = list(tensors)
    head = repr((words, [(tuple(t.shape), t.dtype) for t in tensors])).encode()
    arrays = (rows.detach().cpu().numpy() for tensor in tensors for rows in tensor.split(HASHED_ROWS))
    return bytes_hash(chain([head], (np.ascontiguousarray(array).data for array in arrays)))
