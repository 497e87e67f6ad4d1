"""Distances between image sets move the right way on the handwritten digits."""

import pytest
import torch
import torch.nn.functional as F

from vaelab.data import load
from vaelab.data.source import Dataset
from vaelab.io import places
from vaelab.metrics.measurement import Measurement
from vaelab.registry import part
from vaelab.registry.schema import build

CPU = torch.device("cpu")
EXTRACTORS = ("pixels", "pca", "classifier")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Digits: `test` is the real set, and `valid` as many fresh ones stand for a perfect generator's."""
    return load("digits", train_size=500, valid_size=600, test_size=600)


@pytest.fixture(scope="module")
def judge(digits, tmp_path_factory):
    """judge(metric, extractor, images) against the real set; the extractors are built once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "cache", lambda: folder)
        extractors = {name: build("extractor", name, data=digits, device=CPU) for name in EXTRACTORS}

    def measure(metric: str, extractor: str, fake: torch.Tensor) -> Measurement:
        return part("metric", metric)(digits.test, fake, CPU, extractor=extractors[extractor])

    return measure


def blurred(x: torch.Tensor, times: int) -> torch.Tensor:
    y, window = x.float(), torch.tensor([1.0, 2.0, 1.0]) / 4
    for _ in range(times):
        y = F.conv2d(F.pad(y, (1, 1, 1, 1), mode="replicate"), torch.outer(window, window)[None, None])
    return y.round().byte()


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize("metric", ["frechet", "kernel"])
def test_more_blur_is_further_away(judge, digits, metric, extractor):
    found = [judge(metric, extractor, blurred(digits.valid.images, times)) for times in range(4)]
    values = [f.values[metric] for f in found]
    assert values == sorted(values)
    assert found[0].intervals[metric][1] < found[1].intervals[metric][0]  # and not by chance
    if metric == "frechet":
        unbiased = [f.values["frechet_unbiased"] for f in found]
        assert unbiased == sorted(unbiased)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_dropped_classes_cost_recall_and_coverage(judge, digits, extractor):
    images, labels = digits.valid.images, digits.valid.labels
    found = [judge("precision_recall", extractor, images[labels < classes][:170]) for classes in (10, 6, 3)]
    for name in ("recall", "coverage"):
        values = [f.values[name] for f in found]
        assert values[0] > values[1] > values[2]
        assert found[0].intervals[name][0] > found[2].intervals[name][1]


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_noise_costs_precision(judge, digits, extractor):
    clean = digits.valid.images
    found = [
        judge("precision_recall", extractor, (clean + deviation * torch.randn(clean.shape)).clamp(0, 255).byte())
        for deviation in (0, 40, 80)
    ]
    for name in ("precision", "density"):
        values = [f.values[name] for f in found]
        assert values[0] > values[1] > values[2]
        assert found[0].intervals[name][0] > found[2].intervals[name][1]
