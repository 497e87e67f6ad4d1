"""Sylvester flow."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.flows.chain import Amortised, Layer, LayeredFlow
from vaelab.flows.monotone import LEAST_SLOPE, root
from vaelab.nn.reflections import normals, reflect
from vaelab.registry import Count, Depth, Size, register


class Sylvester(Layer):
    """y = x + Q R₁ tanh(R₂ Qᵀx + b), log |det| = Σ log(1 + r₁ᵢᵢ r₂ᵢᵢ (1 − tanh²)).

    Q [D, M] is the first M columns of a product of reflections; R₁ and R₂ are upper triangular with diagonals within
    (−1, 1), so that every factor of the determinant is positive.
    """

    def __init__(self, latent_dim: int, context: int, columns: int, reflections: int) -> None:
        super().__init__()
        self.latent_dim, self.columns = latent_dim, min(columns, latent_dim)
        self.sizes = [reflections * latent_dim, self.columns**2, self.columns, self.columns]
        triangles = 0.3 / math.sqrt(self.columns) * torch.randn(self.columns * (self.columns + 2))
        self.numbers = Amortised(torch.cat([normals(reflections, latent_dim).flatten(), triangles]), context)

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Parallel in everything."""
        v, r1, r2, b = self.constrained(c)
        h = torch.tanh(_times(r2, reflect(x, v)[..., : self.columns]) + b)
        return x + self._up(_times(r1, h), v), _log_det(r1, r2, h)

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """From the last coordinate of Qᵀx to the first, each the root of a scalar equation."""
        v, r1, r2, b = self.constrained(c)
        rest, a = reflect(y, v)[..., : self.columns], b  # what is left of Qᵀy and known of R₂ Qᵀx + b
        for i in reversed(range(self.columns)):
            x_i = root(rest[..., i], r1[..., i, i], r2[..., i, i], a[..., i])
            a = a + r2[..., i] * x_i[..., None]
            rest = rest - r1[..., i] * torch.tanh(a[..., i, None])
        h = torch.tanh(a)
        return y - self._up(_times(r1, h), v), -_log_det(r1, r2, h)

    def constrained(self, c: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normals v [..., n, D], R₁ and R₂ [..., M, M], b [..., M]; one square holds both triangles."""
        v, square, diagonal, b = self.numbers(c).split(self.sizes, -1)
        square = square.unflatten(-1, (self.columns, self.columns))
        r1 = square.triu(1) + _bounded(square.diagonal(dim1=-2, dim2=-1))
        r2 = square.mT.triu(1) + _bounded(diagonal)
        return v.unflatten(-1, (-1, self.latent_dim)), r1, r2, b

    def _up(self, h: Tensor, v: Tensor) -> Tensor:
        """Q h [..., D]."""
        return reflect(F.pad(h, (0, self.latent_dim - self.columns)), v.flip(-2))


def _bounded(diagonal: Tensor) -> Tensor:
    return torch.diag_embed((1 - LEAST_SLOPE) * torch.tanh(diagonal))


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x[..., None]).squeeze(-1)


def _log_det(r1: Tensor, r2: Tensor, h: Tensor) -> Tensor:
    diagonals = r1.diagonal(dim1=-2, dim2=-1) * r2.diagonal(dim1=-2, dim2=-1)
    return torch.log1p(diagonals * (1 - h.square())).sum(-1)


@register("flow", "sylvester")
def sylvester(
    latent_dim: int, *, context: Count = 0, layers: Depth = 4, columns: Size = 16, reflections: Depth = 8
) -> LayeredFlow:
    """`layers` steps of M = min(latent_dim, columns) units, linear in the context (van den Berg et al. 2018).

    The inverse, which the paper has not, is exact: M scalar equations per step, one after the other.
    """
    return LayeredFlow(
        [Sylvester(latent_dim, context, columns, reflections) for _ in range(layers)], latent_dim, context
    )
