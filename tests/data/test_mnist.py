"""IDX files, whole and broken; MNIST and Fashion-MNIST, made small and real."""

import hashlib

import numpy as np
import pytest
import torch

from vaelab.data import load
from vaelab.data.mnist import FashionMnist, Mnist
from vaelab.errors import UsageError


@pytest.fixture
def small(tmp_path, write_idx, monkeypatch):
    """A set of 30 + 10 images in the official layout; returns its labels."""

    def make(kind) -> tuple[np.ndarray, np.ndarray]:
        random, md5, labels = np.random.default_rng(0), {}, []
        for prefix, count in (("train", 30), ("t10k", 10)):
            labels.append(random.integers(0, 10, count))
            pixels = np.broadcast_to(labels[-1][:, None, None], (count, 28, 28))
            for file, array in (("images-idx3", pixels), ("labels-idx1", labels[-1])):
                name = f"{prefix}-{file}-ubyte.gz"
                path = write_idx(tmp_path / kind().name / name, array)
                md5[name] = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setattr(kind, "md5", md5)
        return labels[0], labels[1]

    return make


@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
def test_images_meet_their_labels_in_every_split(tmp_path, small, kind):
    train, test = small(kind)
    data = load(kind().name, tmp_path, valid_size=5)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [25, 5, 10]
    assert torch.cat([data.train.labels, data.valid.labels]).tolist() == train.tolist()
    assert data.test.labels.tolist() == test.tolist()
    for split in (data.train, data.valid, data.test):
        assert torch.equal(split.images[:, 0, 14, 14].long(), split.labels)
    assert (data.x_shape, data.train.labels.dtype, len(data.classes)) == ((1, 28, 28), torch.int64, 10)


def test_one_flipped_byte_is_noticed(tmp_path, small):
    small(Mnist)
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"t10k-labels-idx1-ubyte\.gz is truncated, damaged or another file"):
        load("mnist", tmp_path, valid_size=5)


def test_the_default_validation_split_does_not_fit_a_small_set(tmp_path, small):
    small(Mnist)
    with pytest.raises(UsageError, match="valid split needs 5,000 images, 30 of 30 are left"):
        load("mnist", tmp_path)


def test_real_mnist(real):
    data = load("mnist", real("mnist"))
    assert [len(s) for s in (data.train, data.valid, data.test)] == [55_000, 5_000, 10_000]
    assert data.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert data.test.labels[:4].tolist() == [7, 2, 1, 0]
    pixels = torch.cat([data.train.images, data.valid.images]).double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)  # the published mean and deviation
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_dynamic_real_mnist_is_evaluated_on_the_draws_of_the_vampprior_paper(real):
    grey = load("mnist", real("mnist"), valid_size=10_000)
    data = load("mnist", real("mnist"), valid_size=10_000, binarise="dynamic")
    random = np.random.RandomState(777)
    for drawn, levels in ((data.valid, grey.valid), (data.test, grey.test)):
        expected = random.binomial(1, levels.images.float().numpy().reshape(-1, 784) / 255.0)
        assert np.array_equal(drawn.images.numpy().reshape(-1, 784) // 255, expected)
