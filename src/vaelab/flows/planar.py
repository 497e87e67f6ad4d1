"""Planar flow."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.flows.chain import Amortised, Layer, LayeredFlow
from vaelab.flows.monotone import LEAST_SLOPE, root
from vaelab.registry import Count, Depth, register

_SHIFT = math.log(math.expm1(1 - LEAST_SLOPE))


class Planar(Layer):
    """y = x + û·tanh(w·x + b) with log |det| = log(1 + w·û·(1 − tanh²)), where w·û = m(w·u) > −1.

    m(a) = softplus(a + const) − 1, plus a least slope, with m(0) = 0: the identity at u = 0, and a bounded û for
    small w, which Rezende & Mohamed's own m has not.
    """

    def __init__(self, latent_dim: int, context: int) -> None:
        super().__init__()
        w, u = torch.randn(2, latent_dim) / math.sqrt(latent_dim)
        self.sizes = [latent_dim, latent_dim, 1]
        self.numbers = Amortised(torch.cat([w, 0.1 * u, torch.zeros(1)]), context)

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Parallel in everything."""
        w, u, b = self.constrained(c)
        h = torch.tanh((w * x).sum(-1, keepdim=True) + b)
        return x + u * h, _log_det(w, u, h)

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """a = w·x solves a + w·û·tanh(a + b) = w·y."""
        w, u, b = self.constrained(c)
        a = root((w * y).sum(-1, keepdim=True), (w * u).sum(-1, keepdim=True), torch.ones_like(b), b)
        h = torch.tanh(a + b)
        return y - u * h, -_log_det(w, u, h)

    def constrained(self, c: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """w [..., D], û [..., D] and b [..., 1]."""
        w, u, b = self.numbers(c).split(self.sizes, -1)
        product = (w * u).sum(-1, keepdim=True)
        allowed = F.softplus(product + _SHIFT) - (1 - LEAST_SLOPE)
        return w, u + (allowed - product) * w / w.square().sum(-1, keepdim=True).clamp(min=1e-12), b


def _log_det(w: Tensor, u: Tensor, h: Tensor) -> Tensor:
    return torch.log1p((w * u).sum(-1) * (1 - h.square()).squeeze(-1))


@register("flow", "planar")
def planar(latent_dim: int, *, context: Count = 0, layers: Depth = 10) -> LayeredFlow:
    """`layers` planar steps, whose numbers are linear in the context (Rezende & Mohamed 2015).

    The inverse, which the paper has not, is exact: one monotone scalar equation per step.
    """
    return LayeredFlow([Planar(latent_dim, context) for _ in range(layers)], latent_dim, context)
