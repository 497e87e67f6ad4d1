"""Convolutions of many channels on small maps as one matrix product, and the layout of larger maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIXELS, PAIRS = 16, 2**17  # so many pixels at most, pairs of channels at least: 1.3 to 4 times as fast


class Conv2d(nn.Conv2d):
    """torch's convolution, to rounding: on a CPU, of small maps as one product of patches and weights."""

    padding: tuple[int, ...]  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H', W']."""
        geometry = zip(input.shape[-2:], self.padding, self.kernel_size, self.stride, strict=True)
        sides = tuple((side + 2 * p - k) // s + 1 for side, p, k, s in geometry)
        if not _as_product(self.weight, sides):
            return super().forward(input)
        patches = F.unfold(input, self.kernel_size, padding=self.padding, stride=self.stride)
        return F.linear(patches.mT, self.weight.flatten(1), self.bias).mT.unflatten(2, sides)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's transposed convolution, to rounding: on a CPU, of small maps as one product whose patches are added up.

    Only without an offset; with one it is torch's.
    """

    padding: tuple[int, ...]  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[B, C, H, W] -> [B, C', H', W'], in the layout of the input."""
        if self.bias is not None or output_size or not _as_product(self.weight, input.shape[-2:]):
            return super().forward(input, output_size)
        geometry = zip(input.shape[-2:], self.padding, self.kernel_size, self.stride, self.output_padding, strict=True)
        sides = tuple((side - 1) * s - 2 * p + k + odd for side, p, k, s, odd in geometry)
        patches = F.linear(input.flatten(2).mT, self.weight.flatten(1).T).mT
        maps = F.fold(patches, sides, self.kernel_size, padding=self.padding, stride=self.stride)
        last = input.is_contiguous(memory_format=torch.channels_last)
        return maps.contiguous(memory_format=torch.channels_last) if last else maps


class ChannelsLast(nn.Module):
    """The same maps with each pixel's channels side by side in memory, which all layers after it keep.

    Convolutions and batch normalisation are faster so, above all in bfloat16; group normalisation on a CPU is slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same."""
        return x.contiguous(memory_format=torch.channels_last)


def _as_product(weight: Tensor, sides: Sequence[int]) -> bool:
    many = weight.shape[0] * weight.shape[1] >= PAIRS
    return many and sides[0] * sides[1] <= PIXELS and weight.device.type == "cpu"
