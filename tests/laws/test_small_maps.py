"""Convolutions as matrix products are torch's: the same maps, gradients and layout, and as near in bfloat16."""

import pytest
import torch

from vaelab.nn.small_maps import ChannelsLast, Conv2d, ConvTranspose2d

LAYERS = [
    (Conv2d(512, 256, 3, padding=1), (2, 2)),
    (Conv2d(512, 256, 4, stride=2, padding=1, bias=False), (6, 11)),
    (Conv2d(512, 256, 3, stride=2, padding=1), (7, 7)),
    (ConvTranspose2d(512, 256, 3, stride=2, padding=1, output_padding=1, bias=False), (2, 3)),
    (ConvTranspose2d(512, 256, 4, stride=2, padding=1, bias=False), (4, 4)),
]


@pytest.fixture(params=LAYERS, ids=str)
def case(request, monkeypatch):
    """A layer that may not fall back to torch's, torch's form of it, and its input."""
    layer, size = request.param
    theirs = type(layer).__base__
    plain = theirs.forward
    monkeypatch.setattr(theirs, "forward", lambda *_: pytest.fail("this was no product"))
    return layer.double(), plain, torch.randn(2, 512, *size).double()


def test_maps_and_gradients_are_those_of_torch(case):
    layer, plain, x = case
    results = []
    for forward in (type(layer).forward, plain):
        inside = x.clone().requires_grad_()
        maps = forward(layer, inside)
        (maps * torch.linspace(-1, 1, maps.numel()).view_as(maps)).sum().backward()
        results.append([maps, inside.grad, *(p.grad for p in layer.parameters())])
        layer.zero_grad()
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs)


@torch.no_grad()
def test_bfloat16_costs_its_rounding_alone(case):
    layer, plain, x = case
    expected = plain(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        maps = layer.float()(x.float())
    assert maps.dtype == torch.bfloat16
    assert (maps - expected).norm() < 2**-8 * expected.norm()


@torch.no_grad()
def test_the_layout_stays(case):
    layer, _, x = case
    assert layer(ChannelsLast()(x)).is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
@pytest.mark.parametrize("layer", [Conv2d(2, 3, 3), ConvTranspose2d(2, 3, 3), ConvTranspose2d(512, 256, 3)], ids=str)
def test_other_layers_are_those_of_torch(layer):
    x = torch.randn(2, layer.in_channels, 4, 4)
    torch.testing.assert_close(layer(x), type(layer).__base__.forward(layer, x), rtol=0, atol=0)
