"""Fully connected encoder and decoder."""

import math
from typing import Literal

from torch import nn

from vaelab.registry import Depth, Size, register

Shape = tuple[int, int, int]  # channels, height, width
Activation = Literal["relu", "silu", "gelu", "tanh", "leaky_relu", "elu"]
_ACTIVATIONS = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
}


def activation_layer(name: Activation) -> nn.Module:
    """A new activation module."""
    return _ACTIVATIONS[name]()


@register("backbone", "mlp")
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
