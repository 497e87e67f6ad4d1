"""Layers of a growing model, the stages that fit its images, and how those of one stage are scored in full size."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.nn.activation import Shape
from vaelab.nn.small_maps import ChannelsLast
from vaelab.roles import Decoder, Growth, Unchecked


def grown(x_shape: Shape, start_res: int, final_res: int | None, epochs: int, per_epoch: float, fade: float) -> Growth:
    """The growth to the size of the images; ValueError for sizes that do not fit."""
    _, height, width = x_shape
    final = final_res or 1 << (max(height, width) - 1).bit_length()
    for name, size in (("start_res", start_res), ("final_res", final)):
        if size & (size - 1):
            low = 1 << size.bit_length() - 1
            raise ValueError(f"{name} {size} is no power of two; try {low} or {2 * low}")
    if start_res > final and not final_res:
        raise ValueError(
            f"images are {height} × {width}, below start_res {start_res}; start at {final} or below, or set "
            f"{_resized(height, width, start_res)}"
        )
    if start_res > final:
        raise ValueError(f"start_res {start_res} is above final_res {final}; start at {final} or below")
    if (height, width) != (final, final):
        raise ValueError(_misfit(height, width, final))
    resolutions = [start_res << stage for stage in range(int(math.log2(final // start_res)) + 1)]
    return Growth(resolutions, epochs * per_epoch, round(epochs * per_epoch * fade))


def _misfit(height: int, width: int, final: int) -> str:
    """What to do about images of another size than the final resolution."""
    missing, mend = final - height, f"set {_resized(height, width, final)}"
    if height == width and missing > 0 and missing % 2 == 0:
        mend = f"add {missing // 2} to data.pad, for black pixels around, or {mend}"
    return f"images are {height} × {width}, and the final resolution is {final}; {mend}"


def _resized(height: int, width: int, side: int) -> str:
    """The options that make images of this size side × side, whatever they were before."""
    if height != width:
        return f"data.crop, data.resize={side} and data.pad=0, for square images"
    return f"data.resize={side} (of celeba data.size={side}) and data.pad=0"


class GrowingDecoder(Decoder):
    """A decoder whose output has the stage's resolution; `weight` is that of its pixels, by their "area" or one."""

    growth: Growth  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, growth: Growth, weight: str) -> None:
        super().__init__(growth)
        self.weight = weight

    def observed(self, p: Distribution) -> Distribution:
        """Of a stage that is not the last, a distribution over images of full size."""
        side, own = self.growth.resolutions[-1], p.event_shape[-1]
        return p if own == side else Coarse(p, side, (side // own) ** 2 if self.weight == "area" else 1)


class Coarse(Unchecked):
    """p(x | z) of a stage: images of full size, scored at its lower resolution.

    log p(x) = w · log p_r(x averaged over areas of r × r), with a weight w for each coarse pixel. With w = the pixels
    in an area, the score of a Bernoulli likelihood is that of the enlarged image against all pixels, so that the KL is
    weighed against as much as in the last stage; at w = 1 the first stages may collapse.
    """

    def __init__(self, base: Distribution, side: int, weight: float) -> None:
        self.base, self.side, self.weight = base, side, weight
        channels, resolution, _ = base.event_shape
        self.factor = side // resolution
        super().__init__(base.batch_shape, torch.Size((channels, side, side)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """[...] of images [..., C, H, W]."""
        return self.weight * self.base.log_prob(averaged(value, self.side // self.factor))

    @property
    def mean(self) -> Tensor:
        """Enlarged, each pixel to an area."""
        return enlarged(self.base.mean, self.factor)

    def sample(self, sample_shape=()) -> Tensor:
        """Enlarged likewise."""
        return enlarged(self.base.sample(torch.Size(sample_shape)), self.factor)


def blended(alpha: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """(1 − α) old + α new, with α unrounded."""
    wide = torch.promote_types(new.dtype, alpha.dtype)
    return torch.lerp(old.to(wide), new.to(wide), alpha.to(wide)).to(new.dtype)


def averaged(x: Tensor, resolution: int) -> Tensor:
    """Means over equal areas: [..., H, H] -> [..., resolution, resolution]."""
    factor = x.shape[-1] // resolution
    return x if factor == 1 else F.avg_pool2d(x.flatten(0, -4), factor).unflatten(0, x.shape[:-3])


def enlarged(x: Tensor, factor: int = 2) -> Tensor:
    """Each pixel repeated: [..., r, r] -> [..., factor · r, factor · r]."""
    if factor == 1:
        return x
    return F.interpolate(x.flatten(0, -4), scale_factor=factor, mode="nearest").unflatten(0, x.shape[:-3])


def to_maps(latent_dim: int, width: int, side: int, activation: nn.Module) -> nn.Module:
    """Latents [N, D] -> maps [N, width, side, side]."""
    return nn.Sequential(
        nn.Linear(latent_dim, width * side**2), activation, nn.Unflatten(-1, (width, side, side)), ChannelsLast()
    )


def down(inside: int, outside: int) -> nn.Module:
    """From `outside` channels to `inside` at half the size."""
    return nn.Sequential(nn.Conv2d(outside, inside, 3, padding=1), nn.LeakyReLU(0.2), nn.AvgPool2d(2))


def up(inside: int, outside: int) -> nn.Module:
    """From `inside` channels to `outside` at twice the size."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inside, outside, 3, padding=1), nn.LeakyReLU(0.2))
