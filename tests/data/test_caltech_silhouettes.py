"""Caltech 101 Silhouettes, with the official split and without."""

import hashlib

import numpy as np
import pytest
import scipy.io
import torch

from vaelab.data import caltech_silhouettes, load
from vaelab.errors import UsageError, VaelabError
from vaelab.io.places import File

COUNTS = {"train": 6, "val": 3, "test": 4}
NAMES = np.array([["Airplanes Side 2", "wrench"]], dtype=object)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(caltech_silhouettes, "COUNTS", COUNTS)
    (tmp_path / "caltech101_silhouettes").mkdir()
    return tmp_path / "caltech101_silhouettes"


@pytest.fixture
def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Row-major objects of ones, and labels counted from 1."""
    random = np.random.default_rng(0)
    return {k: (random.integers(0, 2, (n, 28, 28), np.uint8), random.integers(1, 3, n)) for k, n in COUNTS.items()}


def columns(objects: np.ndarray) -> np.ndarray:
    """As the files have it: the object is 0, and columns follow each other."""
    return 1 - objects.swapaxes(1, 2).reshape(-1, 784)


def write_split(folder, sets, **spoilt) -> None:
    content = {f"{k}_data": columns(x) for k, (x, _) in sets.items()}
    content |= {f"{k}_labels": y[:, None] for k, (_, y) in sets.items()}
    scipy.io.savemat(folder / "caltech101_silhouettes_28_split1.mat", {**content, "classnames": NAMES, **spoilt})


def write_whole(folder, sets, monkeypatch) -> None:
    x, y = (np.concatenate([s[i] for s in sets.values()]) for i in (0, 1))
    path = folder / "caltech101_silhouettes_28.mat"
    scipy.io.savemat(path, {"X": columns(x), "Y": y[None], "classnames": NAMES})
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(caltech_silhouettes, "WHOLE", File(caltech_silhouettes.WHOLE.path, "", md5))


def test_the_official_split_is_preferred_and_kept(folder, sets, monkeypatch):
    write_split(folder, sets)
    write_whole(folder, sets, monkeypatch)
    data = load("caltech_silhouettes", folder.parent, valid_size=3, test_size=4)
    for split, (objects, labels) in zip((data.train, data.valid, data.test), sets.values(), strict=True):
        assert torch.equal(split.images, torch.from_numpy(objects * np.uint8(255))[:, None])
        assert split.labels.tolist() == (labels - 1).tolist()
    assert (data.x_shape, data.binary, data.classes) == ((1, 28, 28), True, ("Airplanes Side 2", "wrench"))


def test_without_it_all_images_are_shuffled_by_seed(folder, sets, monkeypatch):
    write_whole(folder, sets, monkeypatch)
    data = load("caltech_silhouettes", folder.parent, valid_size=3, test_size=4)
    splits = (data.train, data.valid, data.test)
    assert [len(s) for s in splits] == list(COUNTS.values())
    expected = {(x.tobytes(), y - 1) for objects, labels in sets.values() for x, y in zip(objects, labels, strict=True)}
    found = {((x // 255).numpy().tobytes(), int(y)) for s in splits for x, y in zip(s.images, s.labels, strict=True)}
    assert found == expected
    other = load("caltech_silhouettes", folder.parent, valid_size=3, test_size=4, seed=1)
    assert not torch.equal(other.train.images, data.train.images)


@pytest.mark.parametrize(
    "spoil", [{"val_data": np.zeros((2, 784))}, {"val_data": np.full((3, 784), 2)}, {"val_labels": np.ones((1, 1))}]
)
def test_another_content_is_refused(folder, sets, spoil):
    write_split(folder, sets, **spoil)
    with pytest.raises(UsageError, match=r"val_data is .* should be 3 × 784 zeros and ones, each with a label"):
        load("caltech_silhouettes", folder.parent)


def test_a_truncated_file_is_refused(folder, sets):
    write_split(folder, sets)
    path = folder / "caltech101_silhouettes_28_split1.mat"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match=r"split1\.mat is truncated, damaged or another file"):
        load("caltech_silhouettes", folder.parent)


def test_a_missing_set_names_the_file_with_the_official_split(tmp_path):
    with pytest.raises(VaelabError, match=r"caltech101_silhouettes_28_split1\.mat is not in .* save it as"):
        load("caltech_silhouettes", tmp_path)


def test_real_caltech_silhouettes(real):
    data = load("caltech_silhouettes", real("caltech101_silhouettes"))
    assert [len(s) for s in (data.train, data.valid, data.test)] == [4100, 2264, 2307]
    assert (data.binary, len(data.classes)) == (True, 101)
    faces = data.train.images[data.train.labels == data.classes.index("Faces 2")].float().mean(0)[0] / 255
    assert faces[14, 14] > 0.99  # white in the middle, black in the corners
    assert faces[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.1
    assert (faces.sum(1) > 0.5).sum() > (faces.sum(0) > 5).sum()  # and upright: taller than wide
