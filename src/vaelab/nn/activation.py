"""Activations by name, and the shape of images."""

from typing import Literal

from torch import nn

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
