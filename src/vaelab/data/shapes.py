"""Shapes drawn from known factors, as dSprites are, at any resolution, in grey or colour."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vaelab.data.images import check_fits, stream
from vaelab.data.source import Pool, Source, Split
from vaelab.io.places import Directory
from vaelab.registry import Size, register

FACTORS = ("shape", "size", "angle", "x", "y", "colour")
SHAPES = ("square", "ellipse", "heart")
RADIUS = 0.5  # of the largest shape, in half widths of the image
CHUNK = 2**22  # pixels drawn at a time
FACTOR_BYTES, WORKING = 150, 40  # that drawing takes: the factors of an image, each pixel of a single one


@register("data", "shapes")
@dataclass(frozen=True, kw_only=True)
class Shapes(Source):
    """`count` anti-aliased shapes on black, of factors drawn by `seed` (dSprites, Matthey et al. 2017).

    Labels are the shapes; `factors` hold all six (see `sample_factors`). As many images as one likes, no
    file.
    """

    count: Size = 10_000
    size: Size = 32
    channels: Literal[1, 3] = 1

    def read(self, directory: Directory) -> Pool:
        """By drawing; UsageError for more or larger images than fit into memory."""
        shape = (self.count, self.channels, self.size, self.size)
        check_fits(shape, "lower data.count or data.size", more=self.count * FACTOR_BYTES + WORKING * self.size**2)
        factors = sample_factors(self.count, self.seed)
        images = draw(factors, self.size, rgb=self.channels == 3)
        return Pool(Split(images, factors[:, 0].long(), factors), classes=SHAPES, factor_names=FACTORS)


def sample_factors(count: int, seed: int = 0) -> Tensor:
    """Independent uniform factors, float32 [count, 6], in the order of FACTORS.

    shape 0, 1, 2 (see SHAPES); size ½..1 of the largest; angle 0..2π, anticlockwise; x (rightwards) and y
    (downwards) 0..1 over the places where the largest shape is whole; colour 0..1: red to magenta through
    green, or dark to bright. A square looks the same after a quarter turn, an ellipse after half a turn.
    """
    u = torch.from_numpy(stream(seed, "factors").random_sample((count, len(FACTORS))))
    shape, size, angle = (u[:, 0] * len(SHAPES)).floor(), 0.5 + u[:, 1] / 2, u[:, 2] * math.tau
    return torch.cat([torch.stack([shape, size, angle], 1), u[:, 3:]], 1).float()


def draw(factors: Tensor, size: int, rgb: bool = False) -> Tensor:
    """Factors [N, 6] (see `sample_factors`) -> images uint8 [N, 1 or 3, size, size]."""
    out = torch.empty(len(factors), 3 if rgb else 1, size, size, dtype=torch.uint8)
    step = max(1, CHUNK // size**2)
    for source, target in zip(factors.split(step), out.split(step), strict=True):
        coverage = torch.empty(len(source), 1, size, size)
        for index, distance in enumerate((_square, _ellipse, _heart)):
            chosen = source[:, 0] == index
            coverage[chosen, 0] = _coverage(distance, source[chosen], size)
        target.copy_((coverage * _colour(source[:, 5], rgb) * 255).round())
    return out


def _coverage(distance: Callable[[Tensor, Tensor], Tensor], factors: Tensor, size: int) -> Tensor:
    """The share of each pixel [n, size, size] inside the shape: ½ − signed distance in pixels, in [0, 1]."""
    _, scale, angle, x, y, _ = factors[:, :, None, None].unbind(1)
    centres = (torch.arange(size) + 0.5) * (2 / size) - 1
    across = centres - (2 * x - 1) * (1 - RADIUS)  # [n, 1, size]
    up = (2 * y - 1) * (1 - RADIUS) - centres[:, None]  # [n, size, 1]
    radius, c, s = scale * RADIUS, angle.cos(), angle.sin()
    d = distance((c * across + s * up) / radius, (c * up - s * across) / radius)
    return (0.5 - d * radius * (size / 2)).clamp_(0, 1)


def _colour(colour: Tensor, rgb: bool) -> Tensor:
    """[n] -> [n, 3, 1, 1] of full saturation, or the brightness ¼..1 [n, 1, 1, 1]."""
    if not rgb:
        return (0.25 + 0.75 * colour)[:, None, None, None]
    hue = 5 * colour[:, None] + torch.tensor([0.0, 4.0, 2.0])  # five sixths of the circle, so that the ends differ
    return ((hue % 6 - 3).abs() - 1).clamp(0, 1)[:, :, None, None]


# Signed distances, negative inside, of shapes whose circumscribed circle has radius 1 (after Quilez 2020).


def _square(x: Tensor, y: Tensor) -> Tensor:
    a, b = x.abs() - math.sqrt(0.5), y.abs() - math.sqrt(0.5)
    return torch.hypot(a.clamp(min=0), b.clamp(min=0)) + torch.maximum(a, b).clamp(max=0)


def _ellipse(x: Tensor, y: Tensor) -> Tensor:
    """Half axes 1 and ½; right to first order at the edge, which is where it matters."""
    level, gradient = (torch.hypot(x, k * y).clamp(min=1e-6) for k in (2, 4))
    return level * (level - 1) / gradient


def _heart(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs() * 0.64, y * 0.64 + 0.62
    lobe = torch.hypot(x - 0.25, y - 0.75) - math.sqrt(0.125)
    foot = ((x + y) / 2).clamp(min=0)
    side = torch.minimum(torch.hypot(x, y - 1), torch.hypot(x - foot, y - foot)) * (x - y).sign()
    return torch.where(x + y > 1, lobe, side) / 0.64
