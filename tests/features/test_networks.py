"""The networks are those of torchvision: as many weights, taps of the same shapes."""

import pytest
import torch

from vaelab.errors import UsageError


@pytest.mark.parametrize(
    ("net", "weights", "sides"),
    [
        ("alex", 2_469_696, [15, 7, 3, 3, 3]),
        ("vgg", 14_714_688, [64, 32, 16, 8, 4]),
        ("squeeze", 722_496, [31, 15, 7, 3, 3, 3, 3]),  # 1,235,496 of torchvision without its classifier's 513,000
    ],
)
def test_sizes(random_lpips, net, weights, sides):
    network = random_lpips(net).network
    assert sum(p.numel() for p in network.parameters()) == weights
    assert all(key.startswith("features.") for key in network.state_dict())
    assert not any(p.requires_grad for p in network.parameters())
    maps = network(torch.rand(2, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [(2, c, s, s) for c, s in zip(network.taps.values(), sides, strict=True)]
    assert all((m >= 0).all() for m in maps)  # each tap is behind a ReLU


def test_grey_is_three_equal_channels_and_two_are_refused(random_lpips):
    network, x = random_lpips("squeeze").network, torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network(x), network(x.repeat(1, 3, 1, 1)))
    with pytest.raises(UsageError, match="2 channels"):
        network(torch.rand(1, 2, 64, 64))
