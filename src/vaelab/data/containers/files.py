"""Files that hold arrays, and the arrays in each: .npy, .npz, HDF5, Zarr, TIFF, and folders of .npy files."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from vaelab.data.containers.chunked import ZARR, hdf5_arrays, zarr_arrays
from vaelab.data.containers.member import AGAIN, Member, in_file
from vaelab.data.containers.stack import tiff_arrays
from vaelab.errors import UsageError
from vaelab.io.files import parsing

LOCAL_HEADER = 30  # bytes before a member of a zip archive, without its name and extra fields


def members(path: Path) -> list[Member]:
    """The arrays in a file, none of which is read yet; that of a file of one array has no name.

    UsageError for a file of another kind, and for one that is damaged.
    """
    if path.is_dir() and not any((path / name).is_file() for name in ZARR):
        files = sorted(file for file in path.iterdir() if file.suffix == ".npy")
        if not files:
            raise UsageError(
                f"{path} is a folder without .npy files or a Zarr array",
                "correct data.path, or set data.kind=folder of image files",
            )
        return [npy_array(file, file.stem) for file in files]
    suffix = ".zarr" if path.is_dir() else path.suffix.lower()
    if suffix not in KINDS:
        raise UsageError(f"{path} is none of {', '.join(KINDS)}", "save its arrays as one of these")
    return KINDS[suffix](path)


def npy_array(path: Path, name: str = "") -> Member:
    """The array in an .npy file."""

    def read() -> np.ndarray:
        _refuse_objects(path, name, dtype)
        with parsing(path, AGAIN):
            return np.load(path, allow_pickle=False)

    with parsing(path, AGAIN), path.open("rb") as file:
        shape, fortran, dtype = _header(file)
        found = Member(name, shape, dtype, read)
        return in_file(name, path, shape, dtype, file.tell(), fortran) if found.numeric else found


def _npz(path: Path) -> list[Member]:
    with parsing(path, AGAIN), ZipFile(path) as archive, path.open("rb") as file:
        return [_of_npz(path, archive, file, info) for info in archive.infolist() if info.filename.endswith(".npy")]


def _of_npz(path: Path, archive: ZipFile, file: IO[bytes], info: ZipInfo) -> Member:
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        begin = stream.tell()

    def read() -> np.ndarray:
        _refuse_objects(path, name, dtype)
        with parsing(path, AGAIN), ZipFile(path) as again, again.open(info) as stream:
            return npy.read_array(stream, allow_pickle=False)  # and verified by its checksum

    found = Member(name, shape, dtype, read)
    if info.compress_type != ZIP_STORED or not found.numeric:
        return found
    file.seek(info.header_offset)
    lengths = struct.unpack_from("<HH", file.read(LOCAL_HEADER), LOCAL_HEADER - 4)
    offset = info.header_offset + LOCAL_HEADER + sum(lengths) + begin
    return replace(found, along=in_file(name, path, shape, dtype, offset, fortran).along)


def _refuse_objects(path: Path, name: str, dtype: np.dtype) -> None:
    if dtype.hasobject:
        what = f"{name or 'the array'} in {path} holds Python objects, which are programs and not read"
        raise UsageError(what, "save numbers or text")


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    older = npy.read_magic(file) == (1, 0)
    return (npy.read_array_header_1_0 if older else npy.read_array_header_2_0)(file)


def _zip(path: Path) -> list[Member]:
    with parsing(path, AGAIN), ZipFile(path) as archive:
        names = archive.namelist()
    return _npz(path) if any(name.endswith(".npy") for name in names) else zarr_arrays(path)


KINDS = {
    ".npy": lambda path: [npy_array(path)],
    ".npz": _npz,
    **dict.fromkeys((".h5", ".hdf5"), hdf5_arrays),
    ".zarr": zarr_arrays,
    ".zip": _zip,
    **dict.fromkeys((".tif", ".tiff"), tiff_arrays),
}
