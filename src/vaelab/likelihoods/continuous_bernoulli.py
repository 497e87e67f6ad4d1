"""Continuous Bernoulli likelihood: a density on [0, 1] with one logit per pixel."""

from torch import Tensor
from torch.distributions import Independent

from vaelab.distributions.pixels import ContinuousBernoulli
from vaelab.registry import register
from vaelab.roles import Likelihood


@register("likelihood", "continuous_bernoulli")
class ContinuousBernoulliLikelihood(Likelihood):
    """p(x | z) ∝ exp(ηx) on [0, 1]: what the cross-entropy of grey pixels lacks is its constant (Loaiza-Ganem 2019)."""

    def forward(self, logits: Tensor) -> Independent:
        """Logits η [..., C, H, W] -> distribution over x."""
        return Independent(ContinuousBernoulli(logits.float()), 3, validate_args=False)
