"""The gated layer."""

import math

from torch import Tensor, nn


class GatedLinear(nn.Module):
    """(Ax + a) · σ(Bx + b), both products as one matrix product."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * outputs)
        nn.init.normal_(self.linear.weight, std=math.sqrt(2 / inputs))  # He's, as in the VampPrior paper's code
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return nn.functional.glu(self.linear(x))
