"""Fully connected encoder and decoder."""

import math

from torch import nn

from vaelab.nn.activation import Activation, Shape, activation_layer
from vaelab.registry import Depth, Size, register


@register("backbone", "mlp", about="fully connected networks")
def mlp(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    *,
    width: Size = 400,
    depth: Depth = 1,
    activation: Activation = "relu",
) -> tuple[nn.Module, nn.Module]:
    """`depth` linear layers of `width` units with an activation, on both sides (Kingma & Welling 2014)."""

    def hidden(inputs: int) -> list[nn.Module]:
        sizes = [inputs, *[width] * depth]
        return [
            m for i, o in zip(sizes, sizes[1:], strict=False) for m in (nn.Linear(i, o), activation_layer(activation))
        ]

    _, height, width_ = x_shape
    encoder = nn.Sequential(nn.Flatten(-3), *hidden(math.prod(x_shape)))
    decoder = nn.Sequential(
        *hidden(latent_dim),
        nn.Linear(width, out_channels * height * width_),
        nn.Unflatten(-1, (out_channels, height, width_)),
    )
    return encoder, decoder
