"""Gated convolutions, of the convolutional VAE of the VampPrior paper."""

import math

from torch import nn

from vaelab.nn.activation import Shape
from vaelab.nn.gated import GatedLinear, to_features, to_image
from vaelab.registry import Size, register


@register("backbone", "gated_conv", about="gated convolutional networks")
def gated_conv(x_shape: Shape, latent_dim: int, out_channels: int, *, width: Size = 300) -> tuple[nn.Module, nn.Module]:
    """Gated convolutions in; out, two gated linear layers, the first of `width` units, and gated convolutions.

    The encoder of q(z₂ | x) and the decoder of the convHVAE (Tomczak & Welling 2018). Any image size.
    """
    decoder = nn.Sequential(
        GatedLinear(latent_dim, width), GatedLinear(width, math.prod(x_shape)), to_image(x_shape, out_channels)
    )
    return to_features(x_shape[0], (7, 5)), decoder
