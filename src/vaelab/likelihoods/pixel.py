"""Autoregressive likelihood: every pixel sees those before it, beside what the decoder says (PixelVAE)."""

import zlib
from typing import Annotated, Any

import torch
from torch import Tensor

from vaelab.distributions.normal import at_least_float32
from vaelab.distributions.seeds import seeded
from vaelab.nn.masked import MaskedNet
from vaelab.registry import Depth, Role, Size, register
from vaelab.roles import Likelihood, Unchecked

VALUES = {"cpu": 2**22, "other": 2**28}  # of a layer that are computed at once


@register("likelihood", "pixel", about="an autoregressive likelihood of pixels")
class PixelLikelihood(Likelihood):
    """p(x | z) = Π_i p(x_i | x_<i, z), i in raster order, each factor the base's (Gulrajani et al. 2017).

    The decoder gives `maps` maps per channel in place of parameters. They and the image go through `layers` masked
    convolutions of `channels` channels (van den Oord et al. 2016), which give the base its output; the channels of
    one pixel are independent given the pixels before it. As in the PixelHVAE (Tomczak & Welling 2018), except that
    the maps, all of which are known, go unmasked. Scored in one pass, drawn one pixel after another.
    """

    autoregressive = True

    def __init__(
        self,
        x_shape: tuple[int, int, int],
        *,
        base: Annotated[Any, Role("likelihood")] = "bernoulli",
        maps: Size = 2,
        channels: Size = 64,
        layers: Depth = 8,
    ) -> None:
        super().__init__()
        if base.scores == "loss" or base.autoregressive:
            raise ValueError("its base is a likelihood of single pixels; take one such as bernoulli or logistic")
        self.base, self.params_per_channel = base, maps
        self.scores, self.grey_levels, self.bounded = base.scores, base.grey_levels, base.bounded
        image = x_shape[0]
        self.net = MaskedNet(image, maps * image, base.params_per_channel * image, channels=channels, layers=layers)

    def forward(self, output: Tensor) -> "AutoregressiveImage":
        """Decoder output [..., maps·C, H, W] -> distribution over x."""
        return AutoregressiveImage(self.base, self.net, at_least_float32(output), self.params_per_channel)


class AutoregressiveImage(Unchecked):
    """Π_i base(x_i; net(maps, x_<i))."""

    def __init__(self, base: Likelihood, net: MaskedNet, maps: Tensor, maps_per_channel: int) -> None:
        self.base, self.net, self.maps = base, net, maps
        *batch, channels, height, width = maps.shape
        event = torch.Size((channels // maps_per_channel, height, width))
        super().__init__(torch.Size(batch), event, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x) [...] of images [..., C, H, W], in one pass."""
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-3])
        maps, x = (_rows(t, shape) for t in (self.maps, value.to(self.maps.dtype)))
        pieces = zip(*(t.split(self._at_once()) for t in (maps, x)), strict=True)
        output = torch.cat([self.net(*piece) for piece in pieces])
        return self.base(output.view(*shape, *output.shape[1:])).log_prob(value)

    @property
    def mean(self) -> Tensor:
        """E[x_i | x_<i, z] along one image x that is drawn, since the mean over all images has no closed form.

        Its expectation over x is that mean. The maps seed the draw, so that two calls agree and batches differ.
        """
        seed = zlib.crc32(self.maps.detach().float().cpu().numpy().tobytes())
        with seeded(seed, self.maps.device):
            _, output = self._drawn(self.batch_shape)
        return self.base(output).mean

    def sample(self, sample_shape=()) -> Tensor:
        """x [*sample_shape, *batch, C, H, W], pixel by pixel."""
        return self._drawn(torch.Size(sample_shape) + self.batch_shape)[0]

    def _drawn(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Images [*shape, C, H, W], and the base's output for every pixel."""
        x, output = self.net.draw(_rows(self.maps.detach(), shape), lambda pixel: self.base(pixel).sample())
        return x.view(*shape, *x.shape[1:]), output.view(*shape, *output.shape[1:])

    def _at_once(self) -> int:
        """Rows that go through the net together: what memory holds."""
        values = self.net.output.in_channels * self.event_shape[-2:].numel()
        return max(1, VALUES.get(self.maps.device.type, VALUES["other"]) // values)


def _rows(t: Tensor, shape: torch.Size) -> Tensor:
    """[..., C, H, W] -> [N, C, H, W], whose rows are those of `shape`."""
    return t.expand(*shape, *t.shape[-3:]).reshape(shape.numel(), *t.shape[-3:])
