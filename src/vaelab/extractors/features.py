"""Features of images by an extractor, computed once: kept in memory, and on disk where that is asked for."""

import contextlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab import files
from vaelab.errors import VaelabError
from vaelab.extractors.content import sha256
from vaelab.extractors.extractor import Extractor
from vaelab.progress import over

ROWS = 64  # images in a batch
MEMORY = 2**30  # bytes of features that are kept, the latest

_latest: dict[str, Tensor] = {}


def features(extractor: Extractor, images: Tensor, *, keep: bool = False) -> Tensor:
    """Features, float32 [N, F] on the CPU, of uint8 images [N, C, H, W]; the tensor is shared, do not write into it.

    They are found again by content: the extractor's name, hash and resize rule, and the sha256 of the images. With
    `keep` also by later programs, below `cache()/features`. Raises VaelabError where features are not finite.
    """
    key = sha256([images], extractor.name, extractor.hash, extractor.resize)
    path = files.cache() / "features" / f"{key}.npy" if keep else None
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
def _compute(extractor: Extractor, images: Tensor) -> Tensor:
    found = torch.cat([extractor(batch).float().cpu() for batch in over(images.split(ROWS))])
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
