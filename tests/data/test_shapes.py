"""Shapes: that the picture is what the factors say."""

import math

import pytest
import torch

from vaelab.data import load
from vaelab.data.shapes import FACTORS, RADIUS, SHAPES, draw, sample_factors

SQUARE, ELLIPSE, HEART = range(3)


def factors(shape=SQUARE, size=1.0, angle=0.0, x=0.5, y=0.5, colour=1.0) -> torch.Tensor:
    return torch.tensor([[shape, size, angle, x, y, colour]])


def test_a_set_carries_its_factors():
    data = load("shapes", count=200, size=16)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [160, 20, 20]
    assert (data.classes, data.factor_names) == (SHAPES, FACTORS)
    assert torch.equal(data.valid.labels, data.valid.factors[:, 0].long())
    assert torch.equal(data.valid.images, draw(data.valid.factors, 16))


@pytest.mark.parametrize("channels, size", [(1, 8), (3, 33)])
def test_any_resolution_in_grey_and_colour(channels, size):
    data = load("shapes", count=10, size=size, channels=channels)
    assert data.x_shape == (channels, size, size)
    assert data.train.images.dtype == torch.uint8


def test_the_seed_decides_the_factors():
    one, same, other = (load("shapes", count=50, size=8, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.train.images, same.train.images)
    assert not torch.equal(one.train.factors, other.train.factors)


def test_factors_are_uniform_and_independent():
    f = sample_factors(20_000)
    low, high = torch.tensor([0, 0.5, 0, 0, 0, 0]), torch.tensor([2, 1, math.tau, 1, 1, 1])
    assert torch.equal(f[:, 0].unique(), torch.arange(3.0))
    assert ((f >= low) & (f <= high)).all()
    error = 5 * f.std(0) / len(f) ** 0.5
    assert ((f.mean(0) - (low + high) / 2).abs() < error).all()
    correlation = torch.corrcoef(f.T) - torch.eye(6)
    assert correlation.abs().max() < 5 / len(f) ** 0.5


@pytest.mark.parametrize("shape, area", [(SQUARE, 2.0), (ELLIPSE, math.pi / 2)])
@pytest.mark.parametrize("size, angle", [(1.0, 0.0), (0.5, 0.4)])
def test_the_area_is_the_shapes_own(shape, area, size, angle):
    pixels = draw(factors(shape, size, angle), 129)
    radius = size * RADIUS * 129 / 2
    assert pixels.sum().item() / 255 == pytest.approx(area * radius**2, rel=0.01)


@pytest.mark.parametrize("shape", range(3))
def test_the_edge_is_soft_and_the_inside_full(shape):
    pixels = draw(factors(shape, angle=0.3), 65)[0, 0]
    assert pixels[32, 32] == 255
    assert len(pixels.unique()) > 20
    assert ((pixels > 0) & (pixels < 255)).float().mean() < 0.05


@pytest.mark.parametrize("shape", range(3))
@pytest.mark.parametrize("x, y", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_shape_is_whole_wherever_it_is(shape, x, y):
    corner, middle = draw(factors(shape, x=x, y=y, angle=0.7), 64), draw(factors(shape, angle=0.7), 64)
    assert corner.sum().item() == pytest.approx(middle.sum().item(), rel=0.01)


def centre(pixels: torch.Tensor) -> tuple[float, float]:
    weight = pixels[0, 0].double() / pixels.double().sum()
    at = torch.linspace(0, 1, len(weight), dtype=torch.float64)
    return (weight.sum(0) @ at).item(), (weight.sum(1) @ at).item()


def test_x_moves_right_and_y_moves_down():
    for x, y in ((0.0, 1.0), (0.25, 0.5), (1.0, 0.1)):
        expected = [0.5 + (v - 0.5) * (1 - RADIUS) for v in (x, y)]
        assert centre(draw(factors(x=x, y=y, size=0.7), 65)) == pytest.approx(expected, abs=0.01)


def test_angles_turn_anticlockwise_and_a_square_repeats_after_a_quarter():
    upright, turned = draw(factors(HEART), 65), draw(factors(HEART, angle=math.pi / 2), 65)
    difference = (upright.rot90(1, (-2, -1)).int() - turned.int()).abs()
    assert difference.max() <= 1
    assert torch.equal(upright, upright.flip(-1))
    square, quarter = (draw(factors(SQUARE, angle=a), 65).int() for a in (0.2, 0.2 + math.pi / 2))
    assert (square - quarter).abs().max() <= 1


def test_colour_is_brightness_in_grey_and_hue_in_colour():
    dark, bright = draw(factors(colour=0), 32).max(), draw(factors(colour=1), 32).max()
    assert (dark, bright) == (64, 255)
    hues = [draw(factors(colour=c), 33, rgb=True)[0, :, 16, 16].tolist() for c in (0.0, 0.4, 0.8, 1.0)]
    assert hues == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255]]


def test_chunks_do_not_show(monkeypatch):
    f = sample_factors(9)
    whole = draw(f, 24, rgb=True)
    monkeypatch.setattr("vaelab.data.shapes.CHUNK", 24**2 * 2)
    assert torch.equal(draw(f, 24, rgb=True), whole)
