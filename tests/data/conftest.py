"""Every test has a cache of its own and no network; real data comes from VAELAB_DATA or ../shared/data."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests

from vaelab.data import files

REAL = Path(os.environ.get("VAELAB_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The user's cache, empty; a download attempt fails as it does offline."""

    def offline(*_, **__):
        raise requests.ConnectionError("no route to host")

    monkeypatch.delenv("VAELAB_DATA", raising=False)
    monkeypatch.setattr(files, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(pooch, "retrieve", offline)
    return tmp_path / "cache"


@pytest.fixture
def real():
    """The real data directory, if it holds the set that is asked for."""

    def find(name: str) -> Path:
        if not (REAL / name).is_dir():
            pytest.skip(f"no real data at {REAL / name}")
        return REAL

    return find


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
