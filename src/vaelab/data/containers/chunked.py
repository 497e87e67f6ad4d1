"""Arrays in HDF5 and Zarr files, of which the chunks that are asked for are read."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.containers.member import AGAIN, Member, in_file
from vaelab.data.stored import Images
from vaelab.errors import UsageError
from vaelab.io.files import parsing

FEW = 256  # images in a chunk
ZARR = ("zarr.json", ".zgroup", ".zarray")  # the files of which a Zarr folder has one


def hdf5_arrays(path: Path) -> list[Member]:
    """The arrays in an HDF5 file, in all of its groups."""
    with needing("h5py", "hdf5", path):
        import h5py
    found: list[Any] = []
    with parsing(path, AGAIN):
        file = h5py.File(path, "r")
        if isinstance(file, h5py.Group):
            file.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        return [_of_hdf5(path, item) for item in found if item.shape is not None]


def _of_hdf5(path: Path, array: Any) -> Member:
    import h5py

    name, offset = array.name.strip("/"), array.id.get_offset()
    plain = array.chunks is None and array.external is None and not array.is_virtual
    if plain and offset is not None and array.dtype.kind in "buif":
        return in_file(name, path, array.shape, array.dtype, offset)  # without the lock that the library works under
    text = h5py.check_string_dtype(array.dtype) is not None
    return _chunked(name, path, array, array.asstr() if text else array)


def zarr_arrays(path: Path) -> list[Member]:
    """The arrays in a Zarr folder or zip archive, in all of its groups."""
    with needing("zarr", "zarr", path):
        import zarr
        from zarr.storage import LocalStore, ZipStore
    with parsing(path, AGAIN):
        store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
        root = zarr.open(store, mode="r")
        if isinstance(root, zarr.Array):
            return [_chunked("", path, root, scattered=root.oindex)]
        arrays = [(name, item) for name, item in root.members(max_depth=None) if isinstance(item, zarr.Array)]
        return [_chunked(name, path, a, scattered=a.oindex) for name, a in sorted(arrays, key=lambda pair: pair[0])]


def _chunked(name: str, path: Path, array: Any, shown: Any = None, scattered: Any = None) -> Member:
    """An array, of which `shown` gives the values where the array itself does not."""

    def read() -> np.ndarray:
        with parsing(path, AGAIN):
            return np.asarray((array if shown is None else shown)[...])

    return Member(name, array.shape, array.dtype, read, lambda axis: Chunked(path, array, axis, scattered))


class Chunked(Images):
    """The parts of a chunked array along an axis; of each chunk that has some of them, these are read at once.

    `scattered` takes parts that lie anywhere, where the library has a faster way than one chunk after another.
    """

    def __init__(self, path: Path, array: Any, axis: int, scattered: Any = None) -> None:
        native = array.dtype.newbyteorder("=")
        super().__init__(
            array.shape[axis], (*array.shape[:axis], *array.shape[axis + 1 :]), getattr(torch, native.name)
        )
        self.path, self.array, self.axis, self.native, self.scattered = path, array, axis, native, scattered
        self.rows = array.chunks[axis] if array.chunks else 1
        if self.rows > FEW:
            whole = f"{path} has chunks of {self.rows:,} images, all of which are read for any of them"
            warnings.warn(f"{whole}; batches would come faster from chunks of one or a few images", stacklevel=2)

    def take(self, rows: Tensor) -> Tensor:
        """Read in the order in which they lie; Damaged where that fails."""
        wanted, places = np.unique(rows.numpy(), return_inverse=True)
        apart = (np.diff(wanted) > 1) & (np.diff(wanted // self.rows) > 0)
        if self.scattered is not None and apart.any():
            return torch.from_numpy(self._read(self.scattered, wanted).astype(self.native, copy=False)[places])
        out = np.empty((len(wanted), *self.shape[1:]), self.native)
        for few in np.split(np.arange(len(wanted)), np.flatnonzero(apart) + 1):
            if len(few):
                first, last = int(wanted[few[0]]), int(wanted[few[-1]])
                out[few] = self._read(self.array, slice(first, last + 1))[wanted[few] - first]
        return torch.from_numpy(out[places])

    def _read(self, array: Any, rows: slice | np.ndarray) -> np.ndarray:
        with parsing(self.path, AGAIN):
            found = array[(*[slice(None)] * self.axis, rows)]
        return np.moveaxis(np.asarray(found), self.axis, 0)


@contextmanager
def needing(library: str, extra: str, path: Path) -> Iterator[None]:
    """UsageError where a library that is imported within is missing."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"{path} is read by {library}, which is not there", f"pip install 'vaelab[{extra}]'"
        ) from error
