"""Normal likelihood: one σ for all pixels, fixed, learned, or the best for each batch."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vaelab.registry import Positive, register
from vaelab.roles import Likelihood


@register("likelihood", "normal")
class NormalLikelihood(Likelihood):
    """p(x | z) = N(x; sigmoid(output), σ²), a density in units of the [0, 1] scale.

    `fit: fixed` keeps `sigma`; `learnable` makes log σ a parameter; `optimal` takes σ² = mean squared error of the
    training batch, the maximum-likelihood value, and keeps its running mean for evaluation (σ-VAE, Rybkin et al. 2021).
    `constant: false` leaves −½ log 2πσ² out of the training loss, never out of an evaluation. `bounded: false` takes
    the output itself as the mean, for images whose values have no bounds.
    """

    def __init__(
        self,
        *,
        sigma: Positive = 1.0,
        fit: Literal["fixed", "learnable", "optimal"] = "fixed",
        constant: bool = True,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        if fit != "fixed" and not constant:
            raise ValueError(
                f"a {fit} σ needs its constant: without log σ the loss falls for ever as σ → ∞ and the posterior "
                "collapses; set constant: true or fit: fixed"
            )
        log_sigma = torch.tensor(math.log(sigma))
        self.log_sigma = nn.Parameter(log_sigma) if fit == "learnable" else nn.Buffer(log_sigma)
        self.optimal, self.constant, self.bounded = fit == "optimal", constant, bounded

    def forward(self, output: Tensor) -> Independent:
        """Decoder output [..., C, H, W] -> distribution over x."""
        mean = output.float().sigmoid() if self.bounded else output.float()
        if self.training and self.optimal:
            return Independent(_BestFit(mean, self), 3, validate_args=False)
        kind = Normal if self.constant or not self.training else _WithoutConstant
        return Independent(kind(mean, self.log_sigma.exp(), validate_args=False), 3, validate_args=False)


class _WithoutConstant(Normal):
    """−½ ((x − mean) / σ)², as many codes train on."""

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * ((value - self.loc) / self.scale) ** 2


class _BestFit(Normal):
    """A normal whose σ is fitted to the values it scores; only for training, since that is no density."""

    def __init__(self, mean: Tensor, likelihood: NormalLikelihood) -> None:
        self.likelihood = likelihood
        super().__init__(mean, likelihood.log_sigma.exp(), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        error = (value - self.loc) ** 2
        log_sigma = 0.5 * error.mean().clamp(min=1e-8).log()
        with torch.no_grad():  # a running mean, because single batches scatter
            self.likelihood.log_sigma.lerp_(log_sigma, 0.05)
        return -0.5 * error * torch.exp(-2 * log_sigma) - log_sigma - 0.5 * math.log(2 * math.pi)
