"""Frey faces, from the archive and from the original MATLAB file."""

import numpy as np
import pytest
import scipy.io
import torch

from vaelab.data import load
from vaelab.errors import UsageError

SIZES = [1565, 200, 200]


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(8, 239, (1965, 28, 20), np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "freyfaces").mkdir()
    return tmp_path / "freyfaces"


def write_mat(folder, pixels: np.ndarray) -> None:
    scipy.io.savemat(folder / "frey_rawface.mat", {"ff": pixels})


def test_both_forms_give_the_same_set(folder, faces):
    write_mat(folder, faces.reshape(1965, 560).T)
    original = load("freyfaces", folder.parent)
    np.savez(folder / "freyfaces.npz", x=faces)
    data = load("freyfaces", folder.parent)
    assert [len(s) for s in (data.train, data.valid, data.test)] == SIZES
    assert data.x_shape == (1, 28, 20)
    assert data.train.labels is None
    for split in ("train", "valid", "test"):
        assert torch.equal(getattr(original, split).images, getattr(data, split).images)


def test_the_splits_are_disjoint_and_whole(folder, faces):
    np.savez(folder / "freyfaces.npz", x=faces)
    data = load("freyfaces", folder.parent, seed=4)
    together = torch.cat([data.train.images, data.valid.images, data.test.images])
    assert {image.numpy().tobytes() for image in together} == {face.tobytes() for face in faces}


@pytest.mark.parametrize("spoil", [lambda ff: ff[:, :-1], lambda ff: ff / 255.0, lambda ff: ff - 100.0])
def test_another_shape_or_range_is_refused(folder, faces, spoil):
    write_mat(folder, spoil(faces.reshape(1965, 560).T))
    with pytest.raises(UsageError, match=r"ff is .* and should be 560 × 1965 grey levels from 0 to 255"):
        load("freyfaces", folder.parent)


def test_a_truncated_matlab_file_is_refused(folder, faces):
    write_mat(folder, faces.reshape(1965, 560).T)
    path = folder / "frey_rawface.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UsageError, match=r"frey_rawface\.mat is truncated, damaged or another file"):
        load("freyfaces", folder.parent)


def test_real_freyfaces(real):
    data = load("freyfaces", real("freyfaces"))
    assert [len(s) for s in (data.train, data.valid, data.test)] == SIZES
    assert (data.train.images.min(), data.train.images.max()) == (8, 238)
    assert load("freyfaces", real("freyfaces"), crop=20, resize=32).x_shape == (1, 32, 32)
    assert load("freyfaces", real("freyfaces"), pad=2).x_shape == (1, 32, 24)
