"""The gated networks of a hierarchical VAE: an encoder for each level, and a decoder that joins the levels."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vaelab.nn.activation import Shape
from vaelab.nn.branches import Branches
from vaelab.nn.gated import GatedLinear, to_features, to_image
from vaelab.registry import Size, register


class Joined(nn.Module):
    """Each level's part of z through a gated layer of its own; what comes out stands side by side."""

    def __init__(self, levels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels, self.gates = list(levels), nn.ModuleList(GatedLinear(size, width) for size in levels)

    def forward(self, z: Tensor) -> Tensor:
        """[N, Σ levels] -> [N, L · width]."""
        return torch.cat([gate(part) for gate, part in zip(self.gates, z.split(self.levels, -1), strict=True)], -1)


@register("backbone", "hierarchical_mlp", about="gated fully connected networks of two levels")
def hierarchical_mlp(
    x_shape: Shape, latent_dim: int, out_channels: int, levels: tuple[int, ...] = (), *, width: Size = 300
) -> tuple[nn.Module, nn.Module]:
    """Two gated linear layers for the top level, one for each other; out, one for each and a joint one (HVAE).

    Tomczak & Welling 2018; the rest of q(z_l | x, z_<l) is in the posterior `two_level`.
    """
    pixels, count = math.prod(x_shape), max(1, len(levels))
    networks = [nn.Sequential(nn.Flatten(-3), GatedLinear(pixels, width)) for _ in range(count)]
    networks[0].append(GatedLinear(width, width))
    decoder = nn.Sequential(
        Joined(_widened(levels, latent_dim), width),
        GatedLinear(count * width, width),
        nn.Linear(width, out_channels * math.prod(x_shape[1:])),
        nn.Unflatten(-1, (out_channels, *x_shape[1:])),
    )
    return Branches(networks, [width] * count), decoder


@register("backbone", "hierarchical_conv", about="gated convolutional networks of two levels")
def hierarchical_conv(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    levels: tuple[int, ...] = (),
    *,
    width: Size = 300,
    decode: Literal["conv", "maps"] = "conv",
) -> tuple[nn.Module, nn.Module]:
    """Gated convolutions for each level, with larger kernels for the top one (convHVAE, Tomczak & Welling 2018).

    Out, a gated layer of `width` units for each level, a joint one, and gated convolutions; or, with `decode: maps`,
    one map of the image's size for each level and channel, which is what the `pixel` likelihood of a PixelHVAE takes.
    """
    c, h, w = x_shape
    count = max(1, len(levels))
    features = 6 * math.ceil(math.ceil(h / 2) / 2) * math.ceil(math.ceil(w / 2) / 2)
    networks = [to_features(c, (7, 5) if level == 0 else (3, 3)) for level in range(count)]
    sizes = _widened(levels, latent_dim)
    if decode == "maps":
        if out_channels % count:
            raise ValueError(
                f"decode: maps gives as many maps for each of {count} levels, and the likelihood takes {out_channels}; "
                f"set model.likelihood to {{kind: pixel, maps: {count}}}"
            )
        decoder = nn.Sequential(Joined(sizes, out_channels // count * h * w), nn.Unflatten(-1, (out_channels, h, w)))
    else:
        decoder = nn.Sequential(
            Joined(sizes, width),
            GatedLinear(count * width, math.prod(x_shape)),
            to_image(x_shape, out_channels),
        )
    return Branches(networks, [features] * count), decoder


def _widened(levels: tuple[int, ...], latent_dim: int) -> list[int]:
    """The sizes of the levels; the last one with what a class adds to the latent."""
    sizes = list(levels) or [latent_dim]
    return [*sizes[:-1], sizes[-1] + latent_dim - sum(sizes)]
