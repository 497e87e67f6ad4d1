"""A backbone that grows: from images of a few pixels to full size, a stage for each doubling."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from vaelab.nn.activation import Shape
from vaelab.nn.growth import GrowingDecoder, averaged, blended, down, enlarged, grown, to_maps, up
from vaelab.nn.small_maps import ChannelsLast
from vaelab.registry import Fraction, Size, register
from vaelab.roles import Growth


class ProgressiveEncoder(nn.Module):
    """Images, averaged to the stage's resolution, through one block for each stage down to the smallest maps."""

    def __init__(self, growth: Growth, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.growth = growth
        self.from_image = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for width in widths)
        self.blocks = nn.ModuleList(down(wide, narrow) for wide, narrow in pairwise(widths))
        self.layout = ChannelsLast()
        self.base = nn.Sequential(nn.Conv2d(widths[0], widths[0], 3, padding=1), nn.ReLU(), nn.Flatten(-3))

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] of full size -> features [B, F]."""
        growth, stage = self.growth, self.growth.stage
        h = self.layout(self.from_image[stage](averaged(x, growth.resolutions[stage])))
        for s in reversed(range(stage)):
            h = self.blocks[s](h)
            if growth.fading and s == stage - 1:
                h = blended(growth.alpha, self.from_image[s](averaged(x, growth.resolutions[s])), h)
        return self.base(h)


class ProgressiveDecoder(GrowingDecoder):
    """The mirror: blocks up to the stage's resolution, where old and new output are blended before any sigmoid."""

    def __init__(self, growth: Growth, latent_dim: int, out_channels: int, widths: Sequence[int], weight: str) -> None:
        super().__init__(growth, weight)
        side = growth.resolutions[0]
        self.base = to_maps(latent_dim, widths[0], side, nn.ReLU())
        self.blocks = nn.ModuleList(up(wide, narrow) for wide, narrow in pairwise(widths))
        self.to_image = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        """Latents [N, D] -> output of the stage [N, out_channels, r, r]."""
        growth, stage = self.growth, self.growth.stage
        h = old = self.base(z)
        for block in self.blocks[:stage]:
            old, h = h, block(h)
        output = self.to_image[stage](h)
        return blended(growth.alpha, enlarged(self.to_image[stage - 1](old)), output) if growth.fading else output


@register("backbone", "progressive", about="growing convolutional networks")
def progressive(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    steps_per_epoch: float = 1,
    *,
    start_res: Size = 4,
    final_res: Size | None = None,
    base_channels: Size = 128,
    min_channels: Size = 16,
    epochs_per_stage: Size = 10,
    fadein_ratio: Fraction = 0.5,
    stage_weight: Literal["area", "one"] = "area",
) -> tuple[nn.Module, nn.Module]:
    """A stage of `epochs_per_stage` for each doubling from `start_res` to `final_res`, the size of the square images.

    As a progressive GAN (Karras et al. 2018), in the VAE of J1angYu: each new block of a 3×3 convolution fades in over
    the first `fadein_ratio` of its stage, and the target is the image averaged to the stage's resolution. Blocks have
    `base_channels` halved at each stage, down to `min_channels`. Latents and their head are the same throughout.

    `stage_weight: area` counts a coarse pixel as the pixels that it stands for; with `one`, as the original does, the
    KL outweighs the few pixels of the first stages, and their posterior collapses.
    """
    growth = grown(x_shape, start_res, final_res, epochs_per_stage, steps_per_epoch, fadein_ratio)
    widths = [max(base_channels >> stage, min_channels) for stage in range(growth.stages)]
    decoder = ProgressiveDecoder(growth, latent_dim, out_channels, widths, stage_weight)
    return ProgressiveEncoder(growth, x_shape[0], widths), decoder
