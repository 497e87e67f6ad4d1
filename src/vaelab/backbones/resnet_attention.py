"""Residual convolutions with attention on the small maps."""

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.nn.activation import Shape
from vaelab.nn.residual import ResBlock, group_norm
from vaelab.nn.small_maps import Conv2d, ConvTranspose2d
from vaelab.registry import Size, register


class SelfAttention(nn.Module):
    """x + γ W softmax(qkᵀ/√C) v over all pixels, with one head (Zhang et al. 2019).

    γ is a weight that starts at 0.1: at 0, as in the paper, q, k, v and W would learn nothing in the first step. q, k
    and v have no offsets; those of k cancel in the softmax, and that of v is one with W's.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        q, k, v = self.qkv(x.flatten(2).mT.unsqueeze(1)).chunk(3, -1)  # [B, 1, H·W, C]
        seen = self.out(F.scaled_dot_product_attention(q, k, v)).squeeze(1)
        return x + self.gamma * seen.mT.unflatten(2, x.shape[2:])


class Symmetric(nn.Module):
    """2x − 1."""

    def forward(self, x: Tensor) -> Tensor:
        """[0, 1] -> [−1, 1]."""
        return 2 * x - 1


@register("backbone", "resnet_attention", about="residual networks with attention")
def resnet_attention(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    *,
    channels: tuple[Size, ...] = (64, 128, 256, 512),
    attend: bool = True,
    upsample: Literal["transposed", "bilinear"] = "transposed",
) -> tuple[nn.Module, nn.Module]:
    """3×3 convolutions of stride 2, each with a residual block, to `channels`, and their mirror (CrossVampVAE).

    With `attend`, self-attention on the encoder's smallest maps and on the decoder's next larger. Image sides must
    divide by two to the number of `channels`, which must be multiples of 8, the groups of the normalisation.

    Transposed convolutions of stride 2, as in the original, leave a grid of dots, above all under a perceptual loss;
    `upsample: bilinear` enlarges the maps and then convolves them, which does not (Odena et al. 2016).
    """
    smallest = _smallest(x_shape, channels)

    downs, ups = itertools.pairwise((x_shape[0], *channels)), itertools.pairwise(channels[::-1])
    smaller = [nn.Sequential(*_halved(i, o), ResBlock(o, group_norm, nn.SiLU)) for i, o in downs]
    larger = [nn.Sequential(*_doubled(i, o, upsample), ResBlock(o, group_norm, nn.SiLU)) for i, o in ups]
    inner, outer = ([SelfAttention(c)] if attend else [] for c in (channels[-1], channels[-2:][0]))

    encoder = nn.Sequential(Symmetric(), *smaller, *inner, nn.Flatten(-3))
    decoder = nn.Sequential(
        nn.Linear(latent_dim, math.prod(smallest)),
        nn.Unflatten(-1, smallest),
        *larger[:1],
        *outer,
        *larger[1:],
        *_doubled(channels[0], channels[0], upsample),
        nn.Conv2d(channels[0], out_channels, 3, padding=1),
    )
    return encoder, decoder


def _halved(i: int, o: int) -> list[nn.Module]:
    return [Conv2d(i, o, 3, stride=2, padding=1, bias=False), group_norm(o), nn.SiLU()]


def _doubled(i: int, o: int, upsample: str) -> list[nn.Module]:
    if upsample == "bilinear":
        up = [nn.Upsample(scale_factor=2, mode="bilinear"), Conv2d(i, o, 3, padding=1, bias=False)]
    else:
        up = [ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1, bias=False)]
    return [*up, group_norm(o), nn.SiLU()]


def _smallest(x_shape: Shape, channels: tuple[int, ...]) -> Shape:
    """The shape of the maps after all halvings."""
    if not channels:
        raise ValueError("channels needs one entry or more")
    _, height, width = x_shape
    factor = 2 ** len(channels)
    if height % factor or width % factor:
        fits = " × ".join(str(side + -side % factor) for side in (height, width))
        raise ValueError(
            f"{len(channels)} halvings need sides that divide by {factor}, the images are {height} × {width}; "
            f"resize or pad them to {fits}, or give fewer channels"
        )
    return channels[-1], height // factor, width // factor
