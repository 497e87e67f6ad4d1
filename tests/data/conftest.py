"""What tests of data sets share."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def write_idx():
    """Writes a gzipped IDX file by hand."""

    def write(path: Path, array: np.ndarray, magic: bytes | None = None) -> Path:
        header = magic if magic is not None else bytes([0, 0, 8, array.ndim])
        path.parent.mkdir(parents=True, exist_ok=True)
        sizes = struct.pack(f">{array.ndim}I", *array.shape)
        path.write_bytes(gzip.compress(header + sizes + array.astype(np.uint8).tobytes()))
        return path

    return write
