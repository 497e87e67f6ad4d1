"""Residual convolutions with attention on the small maps."""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.backbones.mlp import Shape
from vaelab.backbones.residual import ResBlock, group_norm
from vaelab.backbones.small_maps import Conv2d, ConvTranspose2d
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


@register("backbone", "resnet_attention")
def resnet_attention(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    *,
    channels: tuple[Size, ...] = (64, 128, 256, 512),
    attend: bool = True,
) -> tuple[nn.Module, nn.Module]:
    """3×3 convolutions of stride 2, each with a residual block, to `channels`, and their mirror (CrossVampVAE).

    With `attend`, self-attention on the encoder's smallest maps and on the decoder's smallest but one. Image sides must
    divide by two to the number of `channels`, which must be multiples of 8, the groups of the normalisation.
    """
    smallest = _smallest(x_shape, channels)

    encoder: list[nn.Module] = [Symmetric()]
    for i, o in itertools.pairwise((x_shape[0], *channels)):
        down = Conv2d(i, o, 3, stride=2, padding=1, bias=False)
        encoder += [down, group_norm(o), nn.SiLU(), ResBlock(o, group_norm, nn.SiLU)]
    if attend:
        encoder.append(SelfAttention(channels[-1]))

    decoder: list[nn.Module] = [nn.Linear(latent_dim, math.prod(smallest)), nn.Unflatten(-1, smallest)]
    for i, o in itertools.pairwise(channels[::-1]):
        decoder += [*_doubled(i, o), ResBlock(o, group_norm, nn.SiLU)]
    if attend:
        decoder.insert(6, SelfAttention(channels[-2:][0]))
    decoder += [*_doubled(channels[0], channels[0]), nn.Conv2d(channels[0], out_channels, 3, padding=1)]
    return nn.Sequential(*encoder, nn.Flatten(-3)), nn.Sequential(*decoder)


def _doubled(i: int, o: int) -> list[nn.Module]:
    up = ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1, bias=False)
    return [up, group_norm(o), nn.SiLU()]


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
