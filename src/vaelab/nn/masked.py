"""Masked convolutions: what an image says of each of its pixels to come, of all at once or of one after another."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.io.progress import Bar

MOMENT = 2.0  # seconds without a progress bar


class MaskedConv(nn.Conv2d):
    """A 3 × 3 convolution that sees the row above and its own row up to the pixel, or before it (`centre=False`).

    Types B and A of van den Oord et al. (2016), without the lowest row of the kernel, which is never seen.
    """

    def __init__(self, inputs: int, outputs: int, centre: bool = True) -> None:
        super().__init__(inputs, outputs, (2, 3), bias=False)
        self.sees = nn.Buffer(torch.tensor([[1.0, 1.0, 1.0], [1.0, float(centre), 0.0]]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return F.conv2d(F.pad(x, (1, 1, 1, 0)), self.weight * self.sees)


class PixelNorm(nn.LayerNorm):
    """Layer normalisation of the channels of each pixel (Ba et al. 2016).

    Batch normalisation takes its statistics from later pixels too, and would tell of them while training.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[N, C, …] -> the same."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class MaskedNet(nn.Module):
    """Output at pixel i of an image x, of pixels before i in raster order and of maps.

    One masked convolution of type A and `layers` − 1 of type B, each normalised and rectified, and one of 1 × 1. Of the
    image, a pixel sees `layers` pixels to its left, and of the k-th row above it, up to k = `layers`, as many to its
    left and k to its right: with 8 layers 116 of the 406 pixels before the middle of 28 × 28, as in the PixelHVAE of
    Tomczak & Welling (2018). Of the rest it knows what the maps say.
    """

    def __init__(self, inputs: int, maps: int, outputs: int, *, channels: int, layers: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.maps = nn.Conv2d(maps, channels, 3, padding=1, bias=False)
        self.convs = nn.ModuleList(
            [MaskedConv(inputs, channels, centre=False), *(MaskedConv(channels, channels) for _ in range(layers - 1))]
        )
        self.norms = nn.ModuleList(PixelNorm(channels) for _ in range(layers))
        self.output = nn.Conv2d(channels, outputs, 1)

    def forward(self, maps: Tensor, x: Tensor) -> Tensor:
        """Maps [N, M, H, W] and images [N, C, H, W] -> output [N, outputs, H, W], for all pixels at once."""
        h = (self.maps(maps) + self.convs[0](x)).contiguous(memory_format=torch.channels_last)  # faster
        h = self.norms[0](h).relu()
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            h = norm(conv(h)).relu()
        return self.output(h)

    @torch.no_grad()
    def draw(self, maps: Tensor, pixel: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Images [N, C, H, W] drawn pixel by pixel, and the output [N, outputs, H, W] that each pixel came from.

        `pixel` draws [N, C, 1, 1] of an output [N, outputs, 1, 1]. Each layer is computed once per pixel, so that an
        image costs about what scoring it does.
        """
        n, _, height, width = maps.shape
        x = maps.new_zeros(n, self.inputs, height, width)
        output = maps.new_zeros(n, self.outputs, height, width)
        with torch.autocast(maps.device.type, enabled=False):
            layers = [_Growing(*pair, x) for pair in zip(self.convs, self.norms, strict=True)]  # pyright: ignore[reportArgumentType]
            given = self.maps(maps).permute(2, 0, 3, 1)  # [H, N, W, channels]
            last = self.output.weight.flatten(1).T
            for i in _shown(height):
                layers[0].begin_row(given[i])
                for layer in layers[1:]:
                    layer.begin_row()
                for j in range(width):
                    h = layers[0].at(j)
                    for layer in layers[1:]:
                        layer.see(j, h)
                        h = layer.at(j)
                    output[:, :, i, j] = torch.addmm(self.output.bias, h, last)  # pyright: ignore[reportArgumentType]
                    x[:, :, i, j] = pixel(output[:, :, i, j, None, None]).flatten(1)
                    layers[0].see(j, x[:, :, i, j])
        return x, output


class _Growing:
    """relu(norm(conv)) of inputs that come in raster order; it keeps the row above and the row that grows."""

    def __init__(self, conv: MaskedConv, norm: PixelNorm, x: Tensor) -> None:
        above, own = (conv.weight * conv.sees).unbind(2)  # [out, in, 3] each
        self.above, self.own = above.flatten(1).T, own[..., :2].permute(2, 1, 0).flatten(0, 1)
        self.norm = norm.normalized_shape, norm.weight, norm.bias, norm.eps
        self.row = x.new_zeros(len(x), x.shape[-1] + 2, conv.in_channels)  # with a zero at both ends

    def begin_row(self, given: Tensor | float = 0.0) -> None:
        """The next row, whose share of the row above and of `given` [N, W, out] is known at once."""
        self.known = self.row.unfold(1, 3, 1).flatten(2) @ self.above + given
        self.row = torch.zeros_like(self.row)

    def see(self, j: int, h: Tensor) -> None:
        """The input [N, in] at column j."""
        self.row[:, j + 1] = h

    def at(self, j: int) -> Tensor:
        """The layer's output [N, out] at column j."""
        h = torch.addmm(self.known[:, j], self.row[:, j : j + 2].flatten(1), self.own)
        return F.layer_norm(h, *self.norm).relu_()


def _shown(rows: int) -> Iterator[int]:
    """0, 1, …, with a progress bar once it has taken more than a moment."""
    began, bar = monotonic(), None
    with ExitStack() as stack:
        for i in range(rows):
            if bar is None and monotonic() - began > MOMENT:
                bar = stack.enter_context(Bar("drawing pixel by pixel", rows))
                bar.update(i)
            yield i
            if bar is not None:
                bar.update(1)
