"""Arrays written image by image: whole or absent, and the same as numpy's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.data.encoded.decoded import map_array, write_array
from vaelab.errors import VaelabError
from vaelab.io.files import write_whole


def test_a_file_that_is_interrupted_leaves_nothing_behind(tmp_path):
    def items():
        yield np.zeros((1, 2, 2), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "new" / "a.npy", lambda file: write_array(file, items()))
    assert not list((tmp_path / "new").iterdir())


def test_the_file_is_the_one_that_numpy_would_make(tmp_path):
    arrays = np.arange(11 * 12, dtype=np.uint8).reshape(11, 3, 2, 2)
    write_array(tmp_path / "a.npy", arrays)
    assert np.array_equal(np.load(tmp_path / "a.npy"), arrays)
    assert torch.equal(map_array(tmp_path / "a.npy"), torch.from_numpy(arrays))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("side", [2, 2000])  # noticed when closing, noticed when writing
def test_a_full_disk_is_an_error_with_the_fix(tmp_path, side):
    def write(_: Path) -> None:
        write_array(Path("/dev/full"), [np.zeros((1, side, side), np.uint8)])

    with pytest.raises(VaelabError, match=r"the disk is full; .*; free some space"):
        write_whole(tmp_path / "a.npy", write)
    assert not list(tmp_path.iterdir())
