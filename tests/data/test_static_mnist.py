"""Statically binarised MNIST, from the archive and from the three text files."""

import numpy as np
import pytest
import torch

from vaelab.data import load, static_mnist
from vaelab.data.images import to_floats
from vaelab.errors import UsageError

COUNTS = {"train": 6, "valid": 2, "test": 3}


@pytest.fixture
def bits(monkeypatch) -> dict[str, np.ndarray]:
    monkeypatch.setattr(static_mnist, "COUNTS", COUNTS)
    random = np.random.default_rng(0)
    return {split: random.integers(0, 2, (n, 28, 28), np.uint8) for split, n in COUNTS.items()}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "static_mnist").mkdir()
    return tmp_path / "static_mnist"


def write_amat(folder, bits) -> None:
    for split, array in bits.items():
        lines = [" ".join(map(str, image.ravel())) for image in array]
        (folder / f"binarized_mnist_{split}.amat").write_text(" \n".join(lines) + "\n")


@pytest.mark.parametrize("form", ["npz", "amat"])
def test_both_forms_give_the_official_splits(folder, bits, form):
    if form == "npz":
        np.savez(folder / "binarized_mnist_fixed.npz", **bits)
    else:
        write_amat(folder, bits)
    data = load("static_mnist", folder.parent)
    for split, array in bits.items():
        assert torch.equal(getattr(data, split).images, torch.from_numpy(array * np.uint8(255))[:, None])
    assert data.binary
    assert data.train.labels is None
    assert to_floats(data.test.images).unique().tolist() == [0, 1]


def test_a_resized_set_is_no_longer_binary(folder, bits):
    write_amat(folder, bits)
    assert not load("static_mnist", folder.parent, resize=32).binary
    assert load("static_mnist", folder.parent, resize=32, binarise="threshold").binary
    assert load("static_mnist", folder.parent, pad=2).binary


def test_drawing_what_is_binary_changes_nothing(folder, bits):
    write_amat(folder, bits)
    plain, drawn = (load("static_mnist", folder.parent, binarise=mode) for mode in ("none", "dynamic"))
    assert torch.equal(drawn.test.images, plain.test.images)
    assert torch.equal(drawn.augment(drawn.train.images), to_floats(plain.train.images))


@pytest.mark.parametrize("text", ["0 1 2 1", "0 1 0", "<html>", ""])
def test_a_text_file_with_other_content_is_refused(folder, bits, text):
    write_amat(folder, bits)
    (folder / "binarized_mnist_valid.amat").write_text(text)
    with pytest.raises(UsageError, match=r"binarized_mnist_valid\.amat is truncated, damaged or another file"):
        load("static_mnist", folder.parent)


def test_an_archive_with_grey_levels_is_refused(folder, bits):
    np.savez(folder / "binarized_mnist_fixed.npz", **{k: v * np.uint8(3) for k, v in bits.items()})
    with pytest.raises(UsageError, match="it has values other than 0 and 1"):
        load("static_mnist", folder.parent)


def test_a_truncated_archive_is_refused(folder, bits):
    path = folder / "binarized_mnist_fixed.npz"
    np.savez(path, **bits)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UsageError, match=r"binarized_mnist_fixed\.npz is truncated, damaged or another file"):
        load("static_mnist", folder.parent)


def test_real_static_mnist(real):
    data = load("static_mnist", real("static_mnist"))
    assert [len(s) for s in (data.train, data.valid, data.test)] == [50_000, 10_000, 10_000]
    assert (data.x_shape, data.binary) == ((1, 28, 28), True)
    assert to_floats(data.train.images[:5000]).mean().item() == pytest.approx(0.1307, abs=0.002)
