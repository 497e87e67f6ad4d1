"""SqueezeNet's features on real weights."""

import pytest
import torch

from vaelab.errors import UsageError
from vaelab.features.squeezenet import SqueezeNet


@pytest.fixture
def squeezenet(real, monkeypatch) -> SqueezeNet:
    monkeypatch.setenv("VAELAB_DATA", str(real("weights")))
    return SqueezeNet(torch.device("cpu"))


def test_squeezenet_tells_textures_apart(squeezenet):
    """Two draws of one noise are nearer to each other than to another noise, in features though not in pixels."""
    fine = torch.randint(0, 256, (8, 1, 64, 64), dtype=torch.uint8)
    coarse = fine[:, :, ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3)
    found = squeezenet(torch.cat([fine, coarse]))
    assert found.shape == (16, 512)
    gaps = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert torch.equal(gaps.argmin(1) // 8, torch.arange(16) // 8)


def test_grey_is_three_equal_channels_and_two_are_refused(squeezenet):
    grey = torch.randint(0, 256, (2, 1, 20, 30), dtype=torch.uint8)
    torch.testing.assert_close(squeezenet(grey), squeezenet(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(UsageError, match="2 channels: choose 1 or 3"):
        squeezenet(torch.zeros(1, 2, 8, 8, dtype=torch.uint8))
