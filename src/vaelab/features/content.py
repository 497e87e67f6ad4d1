"""Content of tensors as a hash, which names weights in a protocol and files in the cache."""

import hashlib
from collections.abc import Iterable

import numpy as np
from torch import Tensor

ROWS = 1000  # hashed at a time, because images may be mapped from a file larger than memory


def sha256(tensors: Iterable[Tensor], *words: object) -> str:
    """The sha256 of tensors [N, …], their shapes and types, and of what else tells two contents apart."""
    tensors = list(tensors)
    sha = hashlib.sha256(repr((words, [(tuple(t.shape), t.dtype) for t in tensors])).encode())
    for tensor in tensors:
        for rows in tensor.split(ROWS):
            sha.update(np.ascontiguousarray(rows.detach().cpu().numpy()).data)
    return sha.hexdigest()
