import math

import pytest
import torch

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics import kernel as module
from vaelab.metrics.kernel import kernel, kernel_distance
from vaelab.registry.schema import build

CPU = torch.device("cpu")


def by_hand(real, fake):
    """The three means over pairs, none of an image with itself."""

    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    within = [
        sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) / len(s) / (len(s) - 1)
        for s in (real, fake)
    ]
    return sum(within) - 2 * sum(k(a, b) for a in real for b in fake) / len(real) / len(fake)


def test_equals_the_definition(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 4)
    real, fake = torch.randn(11, 3).double(), torch.rand(7, 3).double()
    assert kernel_distance(real, fake).value == pytest.approx(by_hand(real, fake).item(), rel=1e-9)
    assert kernel_distance(fake, real).value == pytest.approx(by_hand(real, fake).item(), rel=1e-9)


def repeated(scale: float) -> list:
    return [kernel_distance(torch.randn(150, 8), scale * torch.randn(100, 8)) for _ in range(200)]


def test_is_zero_on_average_for_one_distribution(agrees):
    agrees(torch.tensor([estimate.value for estimate in repeated(1.0)]), 0.0)


def test_intervals_are_as_wide_as_the_estimates_scatter():
    estimates = repeated(1.7)
    scatter = torch.tensor([e.value for e in estimates]).std().item()
    claimed = sum((e.interval[1] - e.interval[0]) / 2 / 1.96 for e in estimates) / len(estimates)
    assert claimed == pytest.approx(scatter, rel=3.5 / math.sqrt(2 * len(estimates)) + 1 / math.sqrt(100))


def test_a_single_image_is_refused():
    pixels, image = build("extractor", "pixels", device=CPU), torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(NotApplicable, match="2 images in each set, got 1 and 1"):
        kernel(Split(image), image, CPU, extractor=pixels)
