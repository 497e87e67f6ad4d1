"""Laplace likelihood: absolute error with its scale."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Laplace

from vaelab.registry import Positive, register
from vaelab.roles import Likelihood


@register("likelihood", "laplace")
class LaplaceLikelihood(Likelihood):
    """p(x | z) = Laplace(x; sigmoid(output), b), b in units of the [0, 1] scale, fixed or learned.

    `bounded: false` takes the output itself as the location, for images whose values have no bounds.
    """

    def __init__(self, *, scale: Positive = 0.1, learnable: bool = True, bounded: bool = True) -> None:
        super().__init__()
        self.bounded = bounded
        log_scale = torch.tensor(math.log(scale))
        self.log_scale = nn.Parameter(log_scale) if learnable else nn.Buffer(log_scale)

    def forward(self, output: Tensor) -> Independent:
        """Decoder output [..., C, H, W] -> distribution over x."""
        location = output.float().sigmoid() if self.bounded else output.float()
        return Independent(Laplace(location, self.log_scale.exp(), validate_args=False), 3, validate_args=False)
