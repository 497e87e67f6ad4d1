import contextlib
import io

import pytest
import torch

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics.precision_recall import overlap, precision_recall
from vaelab.registry.schema import build

CPU = torch.device("cpu")


def means(real, fake, k, rule="any"):
    return {name: x.double().mean().item() for name, x in overlap(real, fake, k, rule)._asdict().items()}


def random_images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("n", "m", "dims", "k"), [(600, 500, 64, 5), (500, 600, 64, 3), (300, 300, 2048, 5), (40, 7, 3, 1)]
)
def test_equals_prdc(n, m, dims, k):
    prdc = pytest.importorskip("prdc", reason="the package prdc is not installed")
    real, fake = torch.randn(n, dims), torch.randn(m, dims) * 0.9 + 0.1
    with contextlib.redirect_stdout(io.StringIO()):
        expected = prdc.compute_prdc(real.numpy(), fake.numpy(), k)
    assert means(real, fake, k) == pytest.approx(expected, rel=1e-6)


def test_equals_prdc_where_distances_tie():
    prdc = pytest.importorskip("prdc", reason="the package prdc is not installed")
    real, fake = (torch.randint(0, 3, (200, 4)).float() for _ in range(2))
    with contextlib.redirect_stdout(io.StringIO()):
        expected = prdc.compute_prdc(real.numpy(), fake.numpy(), 5)
    assert means(real, fake, 5) == pytest.approx(expected, rel=1e-6)


def test_the_nearest_rule_underestimates():
    """The figures of two samples of N(0, I₆₄) that made seed 003's rule a named option."""
    real, fake = torch.randn(2000, 64), torch.randn(2000, 64)
    by_any, by_nearest = overlap(real, fake, 3), overlap(real, fake, 3, "nearest")
    for name in ("precision", "recall"):
        assert (getattr(by_nearest, name) <= getattr(by_any, name)).all()
    for name, low, high in (("precision", 0.34, 0.61), ("recall", 0.30, 0.56)):
        assert getattr(by_nearest, name).float().mean().item() == pytest.approx(low, abs=0.08)
        assert getattr(by_any, name).float().mean().item() == pytest.approx(high, abs=0.08)


def test_the_nearest_rule_asks_the_nearest_ball_alone():
    real = torch.tensor([[0.0], [0.1], [1.0], [3.0]])  # radii for k = 1: 0.1, 0.1, 0.9, 2
    fake = torch.tensor([[0.4], [0.05]])  # the first is nearest to 0.1, too far, but in the ball of 1.0
    assert overlap(real, fake, 1).precision.tolist() == [True, True]
    assert overlap(real, fake, 1, "nearest").precision.tolist() == [False, True]
    assert overlap(fake, real, 1).recall.tolist() == [True, True]
    assert overlap(fake, real, 1, "nearest").recall.tolist() == [False, True]


def test_a_set_against_itself_is_perfect():
    x = torch.randn(100, 8)
    perfect = means(x, x, 5)
    assert perfect["precision"] == perfect["recall"] == perfect["coverage"] == 1


def test_too_few_images_are_refused():
    split = Split(random_images(5))
    with pytest.raises(NotApplicable, match="needs 6 images in each set, got 5 and 9; lower k"):
        precision_recall(split, random_images(9), CPU, extractor=build("extractor", "pixels", device=CPU))


def test_the_protocol_names_the_features_and_the_nearest_rule_warns():
    pixels, split = build("extractor", "pixels", device=CPU), Split(random_images(60))
    found = precision_recall(split, random_images(50), CPU, rule="nearest", extractor=pixels, pca_dim=6)
    assert found.protocol["extractor"]["name"] == "pixels"
    assert found.protocol["features"] == 6
    assert "underestimates" in found.notes[0]
    assert not precision_recall(split, random_images(50), CPU, extractor=pixels).notes
    few = precision_recall(split, random_images(20), CPU, extractor=pixels)
    assert not few.intervals
    assert "20 images are too few for a 95 % interval, which takes 48" in few.notes


def test_more_components_than_images_are_refused():
    pixels = build("extractor", "pixels", device=CPU)
    with pytest.raises(NotApplicable, match="choose at most 8"):
        precision_recall(Split(random_images(8)), random_images(20), CPU, extractor=pixels, pca_dim=9)
