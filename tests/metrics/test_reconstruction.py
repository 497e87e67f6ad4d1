"""Reconstruction errors by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from vaelab.data.source import Split
from vaelab.metrics import reconstruction as module
from vaelab.metrics.batches import batches
from vaelab.metrics.reconstruction import reconstruction
from vaelab.metrics.ssim import ssim


class Shift(nn.Module):
    """Reconstructs x + (mean of x) / 10, so that images differ in their error."""

    classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x + x.mean((1, 2, 3), keepdim=True) / 10


@pytest.fixture
def split() -> Split:
    return Split(torch.randint(0, 230, (23, 3, 12, 13), dtype=torch.uint8))


def test_by_hand():
    """Errors 0.1 · 51/255 = 0.02 and 0.1 · 204/255 = 0.08; the mean of the decibels, not those of the mean."""
    images = torch.stack([torch.full((1, 12, 12), 51), torch.full((1, 12, 12), 204)]).to(torch.uint8)
    values = reconstruction(Shift(), Split(images)).values
    assert values["mse"] == pytest.approx((0.02**2 + 0.08**2) / 2, rel=1e-5)
    assert values["psnr"] == pytest.approx(-10 * (math.log10(0.02**2) + math.log10(0.08**2)) / 2, rel=1e-5)
    x = images.float() / 255
    assert values["ssim"] == pytest.approx(ssim(x, Shift().reconstruct(x)).mean().item())


def test_a_perfect_image_counts_120_decibels():
    found = reconstruction(Shift(), Split(torch.zeros(8, 1, 12, 12, dtype=torch.uint8)))
    assert found.values == {"mse": 0.0, "psnr": pytest.approx(120), "ssim": pytest.approx(1)}
    assert found.intervals["psnr"] == pytest.approx((120, 120))


def test_batches_do_not_change_the_values(split, monkeypatch):
    whole = reconstruction(Shift(), split).values
    monkeypatch.setattr(module, "batches", lambda model, split: batches(model, split, rows=4))
    assert reconstruction(Shift(), split).values == pytest.approx(whole, rel=1e-12)


def test_batches_are_floats_in_order(split):
    parts = [x for x, _ in batches(Shift(), split, rows=5)]
    assert [len(part) for part in parts] == [5, 5, 5, 5, 3]
    assert torch.cat(parts).dtype == torch.float32
    torch.testing.assert_close(torch.cat(parts), split.images / 255)
    assert [len(x) for x, _ in batches(Shift(), split, rows=0)] == [1] * 23
