"""A likelihood with a perceptual distance added, which makes it a loss and no likelihood."""

from functools import cache
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.features.lpips import LPIPS
from vaelab.registry import NonNegative, Role, register
from vaelab.roles import Likelihood, Unchecked


@register("likelihood", "perceptual")
class PerceptualLikelihood(Likelihood):
    """log p(x | z) of the base − weight · LPIPS(mean, x), in place of a log-likelihood (Zhang et al. 2018).

    The sum is not normalised over x: it trains, but nothing may be called NLL or bits per dimension, and evaluation
    withholds both. Gradients go through the reconstruction; the target's features carry no graph. The network's
    weights are no part of the model, and a model of this kind is loaded and sampled without them.
    Raises UsageError, when first scored, for weights that are not to be had.
    """

    scores = "loss"

    def __init__(
        self,
        *,
        base: Annotated[Any, Role("likelihood")] = "laplace",
        weight: NonNegative = 100.0,
        net: Literal["vgg", "alex", "squeeze"] = "vgg",
    ) -> None:
        super().__init__()
        if base.scores == "loss" or base.autoregressive:
            raise ValueError("its base is a likelihood whose mean has a gradient; set it to laplace or normal")
        if not base.bounded:
            raise ValueError("its network sees images in [0, 1], so its base has a mean there; leave out base.bounded")
        self.base, self.weight, self.net = base, weight, net
        self.params_per_channel = base.params_per_channel

    def forward(self, output: Tensor) -> "PerceptualImage":
        """Decoder output [..., C, H, W] of the base -> what images are scored and drawn by."""
        return PerceptualImage(self.base(output), self.weight, self.net)


class PerceptualImage(Unchecked):
    """Draws and means are the base's; the score has the perceptual distance in it."""

    def __init__(self, base: Distribution, weight: float, net: str) -> None:
        self.base, self.weight, self.net = base, weight, net
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """The score [...] of images [..., C, H, W] in [0, 1]."""
        lpips, mean = _lpips(self.net, value.device), self.mean
        with torch.no_grad():
            target = lpips.features(value)
        back = lpips.features(mean.flatten(0, -4)).view(*mean.shape[:-3], -1)
        return self.base.log_prob(value) - self.weight * (back - target).square().sum(-1)

    @property
    def mean(self) -> Tensor:
        """Of the base."""
        return self.base.mean

    def sample(self, sample_shape=()) -> Tensor:
        """Of the base."""
        return self.base.sample(sample_shape)


@cache
def _lpips(net: str, device: torch.device) -> LPIPS:
    """One network for all models of a process."""
    return LPIPS(net).to(device)
