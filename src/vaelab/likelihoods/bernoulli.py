"""Bernoulli likelihood: the decoder gives one logit per pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Independent

from vaelab.registry import register
from vaelab.roles import Likelihood


@register("likelihood", "bernoulli")
class BernoulliLikelihood(Likelihood):
    """p(x | z) = σ(logit)^x (1 − σ(logit))^(1−x): a probability of binary images.

    On grey images the same number is a cross-entropy, not a log-likelihood; binarise the data or take
    `continuous_bernoulli` where that matters.
    """

    scores = "mass"
    grey_levels = 2

    def forward(self, logits: Tensor) -> Independent:
        """Logits [..., C, H, W] -> distribution over x."""
        return BernoulliImage(Bernoulli(logits=logits.float(), validate_args=False), 3, validate_args=False)


class BernoulliImage(Independent):
    """Independent Bernoulli pixels, scored by one fused kernel, or, with no gradient to prepare, by what is faster."""

    def log_prob(self, value: Tensor) -> Tensor:
        """x · logit − softplus(logit), summed over the pixels."""
        logits = self.base_dist.logits
        if not logits.requires_grad:
            return _scored(logits.flatten(-3), value.flatten(-3))
        logits, value = torch.broadcast_tensors(logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none").flatten(-3).sum(-1)


def _scored(logits: Tensor, value: Tensor) -> Tensor:
    """The same over the last dimension; compiled, it takes a logarithm per sixteen pixels.

    The difference is taken pixel by pixel, since both sums are large where the logits are.
    """
    if not torch.compiler.is_compiling() or logits.shape[-1] % 16:
        return (logits * value).sub_(F.softplus(logits)).sum(-1)
    factors = (1 + torch.exp(-logits.abs())).unflatten(-1, (-1, 16))  # in [1, 2], so their product is finite
    return (logits * value - logits.clamp(min=0)).sum(-1) - factors.prod(-1).log().sum(-1)
