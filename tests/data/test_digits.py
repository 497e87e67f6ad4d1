"""The bundled digits, as published and drawn larger."""

import pytest
import torch
import torch.nn.functional as F

from vaelab.data import load
from vaelab.data.digits import drawn


@pytest.mark.parametrize("side", [16, 22, 28])
def test_drawn_digits_are_the_same_digits_in_white_strokes_with_grey_edges(side):
    small, large = (load("digits", **size).test.images.float() / 255 for size in ({}, {"side": side}))
    assert large.shape == (250, 1, side, side) and large.min() >= 0 and large.max() <= 1
    back = F.interpolate(large, (8, 8), mode="area").flatten(1)
    pairs = torch.stack([back, small.flatten(1)], 1)
    assert min(torch.corrcoef(pair)[0, 1] for pair in pairs) > 0.7
    blurred = F.interpolate(small, (side, side), mode="bilinear")
    assert grey(large) < grey(blurred) / 2


def test_an_edge_lies_where_the_level_is_one_half():
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    columns = drawn(ramp, 32)[0, 0].mean(0)
    assert columns[:15].max() == 0 and columns[17:].min() == 1


def grey(x: torch.Tensor) -> float:
    """The share of pixels that are neither black nor white."""
    return ((x > 0.05) & (x < 0.95)).float().mean().item()
