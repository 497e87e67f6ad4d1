"""The metric is the mean perceptual distance of images and reconstructions, with its protocol."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.features.lpips import LPIPS
from vaelab.metrics import lpips as module
from vaelab.metrics.lpips import lpips


class Blur(nn.Module):
    """Reconstructs means of squares of pixels."""

    classes = 0

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side, self.weight = side, nn.Parameter(torch.zeros(1))

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return interpolate(avg_pool2d(x, self.side), x.shape[2:])


@pytest.fixture
def split() -> Split:
    return Split(torch.randint(0, 256, (9, 1, 16, 16), dtype=torch.uint8))


@pytest.fixture
def weights(real, monkeypatch) -> None:
    monkeypatch.setenv("VAELAB_DATA", str(real("weights")))


def test_by_hand(split, weights, monkeypatch):
    monkeypatch.setattr(module, "ROWS", 2)
    found, x = lpips(Blur(2), split), split.images / 255
    assert found.values["lpips"] == pytest.approx(LPIPS()(x, Blur(2).reconstruct(x)).mean().item(), rel=1e-5)
    assert found.intervals["lpips"][0] < found.values["lpips"] < found.intervals["lpips"][1]
    network = found.protocol["network"]
    assert (network["name"], network["hash"], network["heads"]) == ("squeeze", "2aa586b2d73c", "4a5350f23600")


def test_more_blur_is_farther(split, weights):
    values = [lpips(Blur(side), split).values["lpips"] for side in (1, 2, 4)]
    assert values[0] == 0
    assert values == sorted(values)


def test_without_weights_or_with_four_channels_it_does_not_apply(split, real, monkeypatch):
    with pytest.raises(NotApplicable, match="squeezenet1_1-b8a52dc0"):
        lpips(Blur(2), split)
    monkeypatch.setenv("VAELAB_DATA", str(real("weights")))
    with pytest.raises(NotApplicable, match="4 channels"):
        lpips(Blur(2), Split(split.images.expand(-1, 4, -1, -1)))
