"""Gated layers, and the stacks of gated convolutions of the VampPrior paper's networks."""

import math

from torch import Tensor, nn

from vaelab.nn.activation import Shape


class GatedLinear(nn.Module):
    """(Ax + a) · σ(Bx + b), both products as one matrix product."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * outputs)
        nn.init.normal_(self.linear.weight, std=math.sqrt(2 / inputs))  # He's, as in the VampPrior paper's code
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return nn.functional.glu(self.linear(x))


class GatedConv(nn.Module):
    """(A ∗ x + a) · σ(B ∗ x + b), both as one convolution; its padding keeps the size, up to the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]."""
        return nn.functional.glu(self.conv(x), -3)


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
