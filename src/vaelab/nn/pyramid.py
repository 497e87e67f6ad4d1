"""The networks of a Laplacian pyramid: what each stage adds to the picture before it, and what it sees of an image."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vaelab.nn.growth import GrowingDecoder, averaged, blended, down, enlarged, to_maps, up
from vaelab.nn.small_maps import ChannelsLast
from vaelab.roles import Growth


class PyramidDecoder(GrowingDecoder):
    """out_s(z_s) for each stage; a stage's picture is the enlarged one before plus out_s, or α out_s as it fades in.

    Pictures are decoder output, logits of a Bernoulli likelihood; they add up there, so that the last one is any
    likelihood's. With `every` stage scored they add up as grey values, the first a sigmoid; then all out_s come out,
    enlarged to the stage's size and side by side as channels, and after them the picture.
    """

    def __init__(
        self, growth: Growth, levels: Sequence[int], out_channels: int, widths: Sequence[int], weight: str, every: bool
    ) -> None:
        super().__init__(growth, "one" if every else weight)
        self.levels, self.every = list(levels), every
        side = growth.resolutions[0]
        self.bases = nn.ModuleList(to_maps(size, widths[0], side, nn.LeakyReLU(0.2)) for size in levels)
        self.blocks = nn.ModuleList(up(wide, narrow) for wide, narrow in pairwise(widths))
        self.to_picture = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        """Latents [N, Σ levels] -> output of the last stage so far [N, out_channels, r, r]; see `every`."""
        outs = self.outs(z.split(self.levels, -1)[: self.growth.stage + 1])
        picture = self.picture(outs)
        if not self.every:
            return picture
        shown = [enlarged(out, picture.shape[-1] // out.shape[-1]) for out in outs]
        yet = [torch.zeros_like(picture)] * (len(self.levels) - len(outs))  # stages that are to come
        return torch.cat([*shown, *yet, picture], 1)

    def outs(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """out_s of the first stages [N, out_channels, r_s, r_s], of their latents z_s [N, D_s]."""
        found = []
        for stage, z in enumerate(parts):
            h = self.bases[stage](z)
            for block in self.blocks[:stage]:
                h = block(h)
            out = self.to_picture[stage](h)
            found.append(out.sigmoid() if self.every and not stage else out)
        return found

    def picture(self, outs: Sequence[Tensor]) -> Tensor:
        """The picture of the last of these stages [N, out_channels, r_s, r_s]."""
        picture = outs[0]
        for stage, out in enumerate(outs[1:], 1):
            before = enlarged(picture)
            fading = self.growth.fading and stage == self.growth.stage
            picture = blended(self.growth.alpha, before, before + out) if fading else before + out
        return picture

    def pictured(self, parts: Sequence[Tensor], channels: int) -> Tensor:
        """The picture of the stages with these latents, in the units of an image, by the channels of its means."""
        picture = self.picture(self.outs(parts))
        if self.every:  # the original's, whose stages take the earlier ones as they are
            return picture.detach()
        return picture[:, :channels].sigmoid()


class PyramidEncoder(nn.Module):
    """Features of what the enlarged picture of the stage before leaves of the image, one stage at a time."""

    def __init__(self, growth: Growth, decoder: PyramidDecoder, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.growth = growth
        self.levels, self.pictured = decoder.levels, decoder.pictured
        self.from_image = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for width in widths)
        self.blocks = nn.ModuleList(down(wide, narrow) for wide, narrow in pairwise(widths))
        self.layout = ChannelsLast()
        self.base = nn.Sequential(nn.Conv2d(widths[0], widths[0], 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten(-3))

    def forward(self, x: Tensor, parts: Sequence[Tensor] = ()) -> Tensor:
        """Images [N, C, H, W] of full size, and the latents z_s [N, D_s] of the stages before -> features [N, F]."""
        growth, stage = self.growth, len(parts)
        left = averaged(x, growth.resolutions[stage])
        if parts:
            left = left - enlarged(self.pictured(parts, x.shape[-3]))
        h = self.layout(self.from_image[stage](left))
        for s in reversed(range(stage)):
            h = self.blocks[s](h)
            if growth.fading and s == stage - 1 == growth.stage - 1:
                h = blended(growth.alpha, self.from_image[s](averaged(left, growth.resolutions[s])), h)
        return self.base(h)
