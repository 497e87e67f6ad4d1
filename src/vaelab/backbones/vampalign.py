"""Residual convolutions with normalisation, of VampAlign."""

import functools
import itertools
from typing import Literal

from torch import nn

from vaelab.nn.activation import Shape
from vaelab.nn.residual import ResBlock, group_norm
from vaelab.nn.small_maps import ChannelsLast, Conv2d, ConvTranspose2d
from vaelab.registry import Size, register

_BASE = 4  # pixels a side of the smallest maps inside
_leaky = functools.partial(nn.LeakyReLU, 0.2, inplace=True)  # what goes before needs no output in its backward


@register("backbone", "vampalign_resnet", about="residual networks")
def vampalign_resnet(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    *,
    width: Size = 64,
    norm: Literal["batch", "group"] = "batch",
) -> tuple[nn.Module, nn.Module]:
    """4×4 convolutions of stride 2 to maps of 4 × 4, residual blocks between them, and their mirror (VampAlign).

    Square images of 32, 64, 128, … pixels a side; the channels double from `width` to at most 8 · `width`. The running
    statistics of batch normalisation are those of data: a prior that encodes images of its own, such as pseudo-inputs,
    puts the normalisation into eval mode meanwhile, so that its components are the same in training and afterwards.
    """
    layer = group_norm if norm == "group" else nn.BatchNorm2d
    channels = [width * min(2**stage, 8) for stage in range(_stages(x_shape))]

    def down(i: int, o: int) -> list[nn.Module]:
        return [Conv2d(i, o, 4, stride=2, padding=1, bias=False), layer(o), _leaky()]

    encoder: list[nn.Module] = [ChannelsLast(), *down(x_shape[0], width)]
    for i, o in itertools.pairwise(channels):
        encoder += [ResBlock(i, layer, _leaky), *down(i, o)]

    decoder: list[nn.Module] = [
        nn.Linear(latent_dim, channels[-1] * _BASE**2),
        nn.Unflatten(-1, (channels[-1], _BASE, _BASE)),
        ChannelsLast(),
    ]
    for i, o in itertools.pairwise(channels[::-1]):
        up = ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=False)
        decoder += [up, layer(o), nn.ReLU(inplace=True), ResBlock(o, layer, _leaky)]
    decoder.append(nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1))
    return nn.Sequential(*encoder, nn.Flatten(-3)), nn.Sequential(*decoder)


def _stages(x_shape: Shape) -> int:
    """How often a side halves on its way to `_BASE`."""
    _, height, width = x_shape
    if height != width or height < 32 or height & (height - 1):
        fits = max(32, 1 << (max(height, width) - 1).bit_length())
        raise ValueError(
            f"images must be square with 32, 64, 128, … pixels a side, they are {height} × {width}; "
            f"resize or pad them to {fits} × {fits}"
        )
    return (height // _BASE).bit_length() - 1
