"""Files that sets are published in: read in their own shape, and refused when broken or something else."""

import gzip

import numpy as np
import pytest
import torch

from vaelab.data.containers.formats import read_idx, read_npz
from vaelab.errors import UsageError

FILE = "toy/images.gz"
PIXELS = np.arange(2 * 3 * 4).reshape(2, 3, 4)


def test_an_idx_file_is_read_in_its_own_shape(tmp_path, write_idx):
    write_idx(tmp_path / FILE, PIXELS)
    array = read_idx(tmp_path / FILE)
    assert array.dtype == torch.uint8
    assert array.tolist() == PIXELS.tolist()


@pytest.mark.parametrize("magic", [b"\x00\x00\x0d\x03", b"\x08\x00\x08\x03", b"<htm"])
def test_a_wrong_magic_number_is_refused(tmp_path, write_idx, magic):
    write_idx(tmp_path / FILE, PIXELS, magic)
    with pytest.raises(UsageError, match=f"it begins with {magic.hex()}, which no IDX file of bytes does"):
        read_idx(tmp_path / FILE)


@pytest.mark.parametrize("harm", ["cut the archive", "no archive", "cut the array", "extend the array", "empty"])
def test_a_broken_idx_file_is_refused(tmp_path, write_idx, harm):
    path = write_idx(tmp_path / FILE, PIXELS)
    whole = path.read_bytes()
    content = gzip.decompress(whole)
    broken = {
        "cut the archive": whole[: len(whole) // 2],
        "no archive": content,
        "cut the array": gzip.compress(content[:-1]),
        "extend the array": gzip.compress(content + b"0"),
        "empty": gzip.compress(b""),
    }
    path.write_bytes(broken[harm])
    with pytest.raises(UsageError, match=r"images\.gz is truncated, damaged or another file \("):
        read_idx(tmp_path / FILE)


def test_an_archive_with_a_missing_or_odd_array_is_damaged(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((2, 3), np.uint8))
    assert read_npz(path, {"x": (2, 3)})[0].shape == (2, 3)
    with pytest.raises(UsageError, match=r"x is uint8 \(2, 3\) and should be uint8 \(2, 4\)"):
        read_npz(path, {"x": (2, 4)})
    with pytest.raises(UsageError, match=r"a.npz is truncated, damaged or another file"):
        read_npz(path, {"y": (2, 3)})
