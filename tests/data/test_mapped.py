"""Arrays written image by image: whole or absent, and the same as numpy's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.data.mapped import ArrayWriter, map_array
from vaelab.errors import VaelabError


def test_a_writer_leaves_nothing_behind_when_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt), ArrayWriter(tmp_path / "new" / "a.npy") as writer:
        writer.append(np.zeros((1, 2, 2), np.uint8))
        raise KeyboardInterrupt
    assert not list((tmp_path / "new").iterdir())


def test_a_writer_makes_the_file_that_numpy_would(tmp_path):
    arrays = np.arange(11 * 12, dtype=np.uint8).reshape(11, 3, 2, 2)
    with ArrayWriter(tmp_path / "a.npy") as writer:
        for array in arrays:
            writer.append(array)
    assert np.array_equal(np.load(tmp_path / "a.npy"), arrays)
    assert torch.equal(map_array(tmp_path / "a.npy"), torch.from_numpy(arrays))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("side", [2, 2000])  # noticed when closing, noticed when writing
def test_a_full_disk_is_an_error_with_the_fix(tmp_path, side):
    with (
        pytest.raises(VaelabError, match=r"No space left on device\); free some space"),
        ArrayWriter(tmp_path / "a.npy") as writer,
    ):
        writer._file = Path("/dev/full").open("wb")  # noqa: SIM115
        writer.append(np.zeros((1, side, side), np.uint8))
    assert not list(tmp_path.glob("a.npy*"))
