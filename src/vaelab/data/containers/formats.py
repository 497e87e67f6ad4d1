"""Arrays in the files that sets are published in: IDX, .npz and Matlab's, each checked before it is believed."""

import gzip
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import Damaged
from vaelab.io.files import parsing


def read_idx(path: Path) -> Tensor:
    """The uint8 array in a gzipped IDX file, in the shape that its header states; else UsageError."""
    with parsing(path), gzip.open(path) as stream:
        content = bytearray(stream.read())
        zeros, kind, dimensions = struct.unpack_from(">HBB", content)
    if (zeros, kind) != (0, 8):
        raise Damaged(path, f"it begins with {content[:4].hex()}, which no IDX file of bytes does")
    with parsing(path):
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_npz(path: Path, shapes: dict[str, tuple[int, ...]]) -> list[np.ndarray]:
    """The named uint8 arrays of an .npz file; UsageError where one is missing or differs in shape or type."""
    with parsing(path), np.load(path) as archive:
        arrays = [archive[key] for key in shapes]
    for array, (key, shape) in zip(arrays, shapes.items(), strict=True):
        if array.shape != shape or array.dtype != np.uint8:
            raise Damaged(path, f"{key} is {array.dtype} {array.shape} and should be uint8 {shape}")
    return arrays


@contextmanager
def opened_mat(path: Path) -> Iterator[dict[str, Any]]:
    """What a Matlab file holds; UsageError where that, or what is done with it within, fails."""
    from scipy.io import loadmat

    with parsing(path):
        yield loadmat(path)


def from_columns(images: np.ndarray) -> Tensor:
    """Images uint8 [N, 784], stored column by column as Matlab does -> [N, 1, 28, 28]."""
    return torch.from_numpy(np.ascontiguousarray(images.reshape(-1, 1, 28, 28).swapaxes(2, 3)))
