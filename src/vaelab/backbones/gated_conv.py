"""Gated convolutions, of the convolutional VAE of the VampPrior paper."""

import math

from torch import Tensor, nn

from vaelab.nn.activation import Shape
from vaelab.nn.gated import GatedLinear
from vaelab.registry import Size, register


class GatedConv(nn.Module):
    """(A ∗ x + a) · σ(B ∗ x + b), both as one convolution; its padding keeps the size, up to the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]."""
        return nn.functional.glu(self.conv(x), -3)


@register("backbone", "gated_conv", about="gated convolutional networks")
def gated_conv(x_shape: Shape, latent_dim: int, out_channels: int, *, width: Size = 300) -> tuple[nn.Module, nn.Module]:
    """Gated convolutions in; out, two gated linear layers, the first of `width` units, and gated convolutions.

    The encoder of q(z₂ | x) and the decoder of the convHVAE (Tomczak & Welling 2018). Any image size.
    """
    decoder = nn.Sequential(
        GatedLinear(latent_dim, width), GatedLinear(width, math.prod(x_shape)), to_image(x_shape, out_channels)
    )
    return to_features(x_shape[0], (7, 5)), decoder


def to_features(channels: int, kernels: tuple[int, int]) -> nn.Sequential:
    """Images [B, C, H, W] -> features [B, 6 · ⌈⌈H / 2⌉ / 2⌉ · ⌈⌈W / 2⌉ / 2⌉]; `kernels` of the layers of stride 1."""
    first, second = kernels
    return nn.Sequential(
        GatedConv(channels, 32, first),
        GatedConv(32, 32, 3, stride=2),
        GatedConv(32, 64, second),
        GatedConv(64, 64, 3, stride=2),
        GatedConv(64, 6, 3),
        nn.Flatten(-3),
    )


def to_image(x_shape: Shape, out_channels: int) -> nn.Sequential:
    """Features [N, C · H · W] -> decoder output [N, out_channels, H, W]."""
    convolutions = (GatedConv(i, 64, 3) for i in (x_shape[0], 64, 64, 64))
    return nn.Sequential(nn.Unflatten(-1, x_shape), *convolutions, nn.Conv2d(64, out_channels, 1))
