"""The loss of a residual progressive VAE stage by stage, which is no likelihood."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.registry import register
from vaelab.roles import Likelihood, Unchecked


@register("likelihood", "pyramid")
class PyramidLoss(Likelihood):
    """−BCE(r₀, x₀) − Σ_s |x_s − up(r_{s−1}) − out_s|², with x_s the image at stage s, in place of a log-likelihood.

    The loss of J1angYu's ResProVAE, for the backbone `progressive_residual`: pictures r_s add up as grey values, and
    each stage is fitted to what the stage before, held fixed, left. The sum is not normalised over x and counts the
    coarse images of one picture several times: no bound on log p(x), and nothing may be called NLL or bits per
    dimension.
    """

    scores = "loss"
    every_stage = True

    def __init__(self, x_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.channels, self.side = x_shape[0], x_shape[1]

    def forward(self, output: Tensor) -> "Pyramid":
        """out_s of all stages and the last picture [..., (S + 1) · C, r, r], all of one size -> what scores images."""
        if output.shape[-3] == self.channels:
            raise ValueError("pyramid is the loss of several stages; set model.backbone=progressive_residual")
        *outs, picture = output.float().unflatten(-3, (-1, self.channels)).unbind(-4)
        yet = int(math.log2(self.side // output.shape[-1]))  # stages that are to come
        return Pyramid(outs[: len(outs) - yet], picture)


class Pyramid(Unchecked):
    """Its mean is the last picture; it draws nothing else."""

    def __init__(self, outs: Sequence[Tensor], picture: Tensor) -> None:
        self.outs, self.picture = outs, picture
        super().__init__(picture.shape[:-3], picture.shape[-3:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """The negative loss [...] of images [..., C, r, r]."""
        targets = list(_halved(value, len(self.outs)))[::-1]
        factors = [value.shape[-1] // target.shape[-1] for target in targets]
        picture, *outs = (out[..., ::f, ::f] for out, f in zip(self.outs, factors, strict=True))
        with torch.autocast(value.device.type, enabled=False):  # which refuses this loss on a GPU
            loss = F.binary_cross_entropy(*torch.broadcast_tensors(picture, targets[0]), reduction="none")
        loss = loss.flatten(-3).sum(-1)
        for out, target in zip(outs, targets[1:], strict=True):
            before = picture.detach().repeat_interleave(2, -1).repeat_interleave(2, -2)
            loss = loss + (target - before - out).square().flatten(-3).sum(-1)
            picture = before + out
        return -loss

    @property
    def mean(self) -> Tensor:
        """The last picture, within [0, 1]."""
        return self.picture.clamp(0, 1)

    def sample(self, sample_shape=()) -> Tensor:
        """The mean."""
        return self.mean.expand(*sample_shape, *self.mean.shape)


def _halved(x: Tensor, times: int) -> Iterator[Tensor]:
    """Images, then their means over areas of 2 × 2, 4 × 4, …: so many sizes."""
    yield x
    for _ in range(times - 1):
        x = F.avg_pool2d(x.flatten(0, -4), 2).unflatten(0, x.shape[:-3])
        yield x
