"""Fully connected encoder and decoder with gated layers."""

import math

from torch import nn

from vaelab.nn.gated import GatedLinear
from vaelab.registry import Depth, Size, register


@register("backbone", "gated_mlp", about="gated fully connected networks")
def gated_mlp(
    x_shape: tuple[int, int, int], latent_dim: int, out_channels: int, *, width: Size = 300, depth: Depth = 2
) -> tuple[nn.Module, nn.Module]:
    """`depth` gated linear layers of `width` units, on both sides (Tomczak & Welling 2018)."""

    def hidden(inputs: int) -> list[nn.Module]:
        return [GatedLinear(inputs if i == 0 else width, width) for i in range(depth)]

    _, h, w = x_shape
    encoder = nn.Sequential(nn.Flatten(-3), *hidden(math.prod(x_shape)))
    to_image = nn.Linear(width, out_channels * h * w)
    decoder = nn.Sequential(*hidden(latent_dim), to_image, nn.Unflatten(-1, (out_channels, h, w)))
    return encoder, decoder
