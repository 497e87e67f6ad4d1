"""Features are computed once for one content: in memory, on disk where that is asked for, and again after damage."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vaelab.errors import UsageError, VaelabError
from vaelab.features import extraction as module
from vaelab.features.extraction import ROWS, features
from vaelab.io import memory


class Sums:
    """Means of rows, and how many images it was asked for."""

    name, hash, resize = "sums", "", "none"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.float().mean((1, 3))


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(module, "_latest", {})


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (ROWS + 3, 2, 8, 9), dtype=torch.uint8)


def later(monkeypatch) -> None:
    """Another program: nothing is in memory."""
    monkeypatch.setattr(module, "_latest", {})


def test_the_same_images_are_looked_at_once(images):
    extractor = Sums()
    found = features(extractor, images)
    torch.testing.assert_close(found, images.float().mean((1, 3)))
    assert features(extractor, images.clone()) is found
    assert extractor.seen == len(images)


@pytest.mark.parametrize("change", ["pixel", "shape", "order", "name", "hash", "resize"])
def test_other_content_is_computed_anew(images, change):
    extractor = Sums()
    features(extractor, images)
    other = images.clone()
    if change == "pixel":
        other[-1, 0, 0, 0] ^= 1
    elif change == "shape":
        other = other.reshape(len(other), 1, 16, 9)
    elif change == "order":
        other = other.flip(0)
    else:
        setattr(extractor, change, "another")
    torch.testing.assert_close(features(extractor, other), other.float().mean((1, 3)))
    assert extractor.seen == 2 * len(images)


def test_memory_is_bounded(images, monkeypatch):
    extractor, first, second = Sums(), images, images.flip(0)
    monkeypatch.setattr(module, "MEMORY", features(extractor, first).nbytes)
    features(extractor, second)
    assert len(module._latest) == 1
    features(extractor, second)
    assert extractor.seen == 2 * len(images)


def test_kept_features_survive_the_program(images, monkeypatch, cache):
    extractor = Sums()
    found = features(extractor, images)
    assert not cache.exists()
    features(extractor, images, keep=True)
    later(monkeypatch)
    assert torch.equal(features(extractor, images, keep=True), found)
    assert extractor.seen == len(images)


@pytest.mark.parametrize("damage", ["empty", "short", "noise", "nan", "rows", "type"])
def test_a_damaged_file_is_computed_again(images, monkeypatch, cache, damage):
    extractor = Sums()
    found = features(extractor, images, keep=True)
    (path,) = (cache / "features").iterdir()
    good = path.read_bytes()
    content = {"empty": b"", "short": good[:200], "noise": b"\x80" * 300}
    arrays = {"nan": found.numpy() * np.nan, "rows": found.numpy()[1:], "type": found.double().numpy()}
    if damage in content:
        path.write_bytes(content[damage])
    else:
        np.save(path, arrays[damage])
    later(monkeypatch)
    assert torch.equal(features(extractor, images, keep=True), found)
    assert path.read_bytes() == good


def test_a_cache_that_cannot_be_written_costs_nothing(images, cache):
    cache.write_text("a file in the folder's place")
    assert features(Sums(), images, keep=True).shape == (len(images), 8)


def test_features_that_memory_cannot_hold_are_refused_before_they_fill_it(images, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 100.0)
    sums = Sums()
    with pytest.raises(UsageError, match=rf"^{len(images)} rows of \d+ features would take .* take fewer images"):
        features(sums, images)
    assert sums.seen <= ROWS


def test_features_that_are_not_finite_are_refused(images):
    extractor = Sums()
    extractor.__class__ = type("Broken", (Sums,), {"__call__": lambda self, x: x.flatten(1) / 0.0})
    with pytest.raises(VaelabError, match="not finite"):
        features(extractor, images)
