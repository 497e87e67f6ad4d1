"""Convolution → linear on the way in, linear → transposed convolution on the way out."""

import math

from torch import nn

from vaelab.nn.activation import Activation, Shape, activation_layer
from vaelab.registry import Count, Size, register


@register("backbone", "conv", about="convolutional networks")
def conv(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    *,
    channels: tuple[Size, ...] = (32, 64),
    width: Count = 0,
    activation: Activation = "relu",
) -> tuple[nn.Module, nn.Module]:
    """4×4 convolutions of stride 2 to `channels`, then a linear layer of `width` units (0: none), and their mirror.

    Any image size: a side halves to its floor, and the mirror adds the odd pixel where one was lost.
    """
    sides = _halvings(x_shape[1:], len(channels))
    features = channels[-1] * math.prod(sides[-1])
    ins, outs = (x_shape[0], *channels), (out_channels, *channels)

    encoder: list[nn.Module] = []
    for i, o in zip(ins, ins[1:], strict=False):
        encoder += [nn.Conv2d(i, o, 4, stride=2, padding=1), activation_layer(activation)]
    encoder.append(nn.Flatten(-3))
    if width:
        encoder += [nn.Linear(features, width), activation_layer(activation)]

    decoder: list[nn.Module] = []
    if width:
        decoder += [nn.Linear(latent_dim, width), activation_layer(activation)]
    decoder += [nn.Linear(width or latent_dim, features), nn.Unflatten(-1, (channels[-1], *sides[-1]))]
    for level in reversed(range(len(channels))):
        odd = sides[level][0] - 2 * sides[level + 1][0], sides[level][1] - 2 * sides[level + 1][1]
        decoder.append(activation_layer(activation))
        decoder.append(nn.ConvTranspose2d(outs[level + 1], outs[level], 4, stride=2, padding=1, output_padding=odd))
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


@register("backbone", "vampalign_conv", about="convolutional networks")
def vampalign_conv(
    x_shape: Shape, latent_dim: int, out_channels: int, *, channels: tuple[Size, ...] = (32, 64, 128, 256)
) -> tuple[nn.Module, nn.Module]:
    """`conv` with ReLU and no linear layer inside: VampAlign's baseline at 64 × 64.

    With `channels` of 32, 64, 128 and images of 32 × 32 it is the form for MNIST.
    """
    return conv(x_shape, latent_dim, out_channels, channels=channels)


def _halvings(sides: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """The sides after 0, 1, … `times` halvings."""
    if times == 0 or min(sides) < 2**times:
        least = f"{times} stride-2 convolutions need sides of {2**times} pixels or more, the images have {sides}"
        raise ValueError(f"{least}; give fewer channels or resize" if times else "channels needs one entry or more")
    return [(sides[0] >> n, sides[1] >> n) for n in range(times + 1)]
