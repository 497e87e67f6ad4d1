"""Images of any depth, also such as are read when they are asked for: what is computed of them is the same."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vaelab.data import load
from vaelab.data.source import Dataset, Split
from vaelab.data.stored import Images
from vaelab.errors import UsageError
from vaelab.features.auto import auto
from vaelab.features.networks import as_rgb
from vaelab.metrics.measurement import Measurement
from vaelab.metrics.sharpness import sharpness_statistics
from vaelab.priors.exemplar import ExemplarPrior
from vaelab.priors.vamp import VampPrior
from vaelab.registry.schema import build
from vaelab.training.initialise import mean_image

CPU = torch.device("cpu")
FAKES = torch.Generator().manual_seed(0)


class Kept(Images):
    """Images in memory that behave like such as are not, and tell how many were asked for at once."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(len(images), images.shape[1:], images.dtype)
        self.images, self.most = images, 0

    def take(self, rows: Tensor) -> Tensor:
        self.most = max(self.most, len(rows))
        return self.images[rows]


@pytest.fixture(scope="module")
def bytes_() -> Dataset:
    return load("digits", train_size=600, valid_size=200, test_size=200)


def of(data: Dataset, change) -> Dataset:
    splits = {name: getattr(data, name) for name in ("train", "valid", "test")}
    return replace(data, **{name: replace(split, images=change(split.images)) for name, split in splits.items()})


def floats(data: Dataset) -> Dataset:
    return of(data, lambda x: x.float() / 255)


def lazy(data: Dataset) -> Dataset:
    return of(data, Kept)


def measured(name: str, data: Dataset, fake: Tensor, extractor: str) -> Measurement:
    spec = {"kind": name} if name == "sharpness" else {"kind": name, "extractor": extractor}
    return build("metric", spec, split=data.test, fake=fake, data=data, device=CPU)


@pytest.mark.parametrize("name", ["sharpness", "frechet", "kernel", "precision_recall", "memorisation"])
@pytest.mark.parametrize("look", ["pixels", "pca"])
@pytest.mark.parametrize(
    "change", [floats, lazy, lambda data: lazy(floats(data))], ids=["floats", "lazy", "lazy floats"]
)
def test_metrics_are_the_same(bytes_, name, look, change):
    if name == "sharpness" and look == "pca":
        return
    fake = (bytes_.valid.images.float() * 0.9).round().byte()
    wanted, data = measured(name, bytes_, fake, look), change(bytes_)
    found = measured(name, data, fake.float() / 255 if data.test.images.dtype == torch.float32 else fake, look)
    for key, value in wanted.values.items():
        assert found.values[key] == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_a_classifier_learns_the_same_of_images_that_are_read(bytes_, monkeypatch):
    monkeypatch.setattr("vaelab.features.classifier.STEPS", 20)
    wanted, found = (build("extractor", "classifier", data=data, device=CPU) for data in (bytes_, lazy(bytes_)))
    assert found.hash == wanted.hash and found.accuracy == wanted.accuracy


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_sharpness_is_that_of_the_mean_of_channels_but_for_colours(channels):
    x = torch.rand(20, channels, 12, 10, generator=FAKES)
    found = torch.stack(list(sharpness_statistics(x).values()))
    weights = torch.tensor([0.299, 0.587, 0.114]) if channels == 3 else torch.full((channels,), 1 / channels)
    grey = torch.einsum("nchw,c->nhw", x, weights)[:, None]
    torch.testing.assert_close(found, torch.stack(list(sharpness_statistics(grey).values())))


@pytest.mark.parametrize(("channels", "count", "name"), [(4, 100, "pca"), (2, 40, "pixels"), (13, 100, "pca")])
def test_networks_that_know_colours_are_not_shown_other_channels(channels, count, name):
    x = torch.rand(count, channels, 6, 6, generator=FAKES)
    assert auto(Dataset("t", Split(x), Split(x[:9]), Split(x[:9])), CPU).name == name
    with pytest.raises(UsageError, match=f"these have {channels} channels"):
        as_rgb(x)


@pytest.mark.parametrize("init", ["data", "kmeans"])
@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("change", [floats, lazy])
def test_a_vamp_prior_begins_alike(bytes_, init, classes, change):
    priors = [VampPrior(bytes_.x_shape, classes, components=30, init=init) for _ in range(2)]
    for prior, data in zip(priors, (bytes_, change(bytes_)), strict=True):
        prior.initialise(data.train, 3)
    wanted, found = (prior.images for prior in priors)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0 if init == "data" else 0.5 / 255 + 1e-6)


@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("change", [floats, lazy])
def test_an_exemplar_prior_keeps_its_images_as_they_are(bytes_, classes, change):
    data = change(bytes_)
    wanted, found, restored = (ExemplarPrior(data.x_shape, classes, components=30, per_step=15) for _ in range(3))
    wanted.initialise(bytes_.train, 3)
    found.initialise(data.train, 3)
    assert found.exemplars.dtype == data.train.images.dtype
    torch.testing.assert_close(found.pseudo_inputs, wanted.pseudo_inputs, rtol=0, atol=0)
    restored.load_state_dict(found.state_dict())
    assert restored.exemplars.dtype == found.exemplars.dtype and torch.equal(restored.exemplars, found.exemplars)


def test_a_mean_image_is_taken_by_pieces():
    x = torch.randint(256, (12_000, 2, 5, 5), dtype=torch.uint8, generator=FAKES)
    kept = Kept(x)
    assert torch.equal(mean_image(kept), x[::3].float().mean(0) / 255) and kept.most <= 500
    torch.testing.assert_close(mean_image(x.float() / 255), mean_image(x))
