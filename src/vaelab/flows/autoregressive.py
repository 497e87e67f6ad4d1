"""Autoregressive flows: every latent is scaled and shifted by what a masked network says of those before it."""

from typing import Any

import torch
from torch import Tensor, nn

from vaelab.flows.chain import Layer, LayeredFlow, joined, start_small
from vaelab.registry import Count, Depth, Size, register


class Autoregressive(Layer):
    """y_i = x_i·exp(s_i) + t_i, |s| < log 1000, with s_i and t_i a network's of c and of the x_j that come before i.

    `rank` says when each coordinate comes. One network evaluation forth, D of them back.
    """

    def __init__(self, rank: Tensor, context: int, width: int, depth: int) -> None:
        from zuko.nn import MaskedMLP
        from zuko.transforms import MonotonicAffineTransform

        super().__init__()
        self.rank = nn.Buffer(rank)
        sees = torch.cat([rank[:, None] > rank, torch.ones(len(rank), context, dtype=torch.bool)], 1)
        self.network = MaskedMLP(sees.repeat_interleave(2, 0), [width] * depth, nn.SiLU)  # pyright: ignore[reportArgumentType]
        start_small(self.network[-1])
        self.univariate = MonotonicAffineTransform

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """All coordinates at once."""
        y, ladj = self._affine(x, c).call_and_ladj(x)
        return y, ladj.sum(-1)

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """One coordinate after the other; those to come stay zero, so that nothing can overflow on the way."""
        x = torch.zeros_like(y)
        for i in range(y.shape[-1] - 1):
            x = torch.where(self.rank == i, self._affine(x, c).inv(y), x)
        x, ladj = self._affine(x, c).inv.call_and_ladj(y)  # all but the last are known, and nothing depends on that
        return x, ladj.sum(-1)

    def _affine(self, x: Tensor, c: Tensor | None) -> Any:
        return self.univariate(*self.network(joined(x, c)).unflatten(-1, (-1, 2)).unbind(-1))


@register("flow", "iaf")
def iaf(latent_dim: int, *, context: Count = 0, layers: Depth = 4, width: Size = 128, depth: Depth = 2) -> LayeredFlow:
    """z_i = u_i·exp(s(u_<i)) + t(u_<i): fast to draw from, as a posterior is (Kingma et al. 2016).

    The inverse takes latent_dim network evaluations per layer; every layer reverses the order.
    """
    return LayeredFlow(_steps(latent_dim, context, layers, width, depth), latent_dim, context)


@register("flow", "maf")
def maf(latent_dim: int, *, context: Count = 0, layers: Depth = 4, width: Size = 128, depth: Depth = 2) -> LayeredFlow:
    """u_i = z_i·exp(s(z_<i)) + t(z_<i): fast to score, as a prior is (Papamakarios et al. 2017).

    A draw takes latent_dim network evaluations per layer; every layer reverses the order.
    """
    return LayeredFlow(_steps(latent_dim, context, layers, width, depth), latent_dim, context, inverted=True)


def _steps(latent_dim: int, context: int, layers: int, width: int, depth: int) -> list[Autoregressive]:
    if latent_dim < 2:
        raise ValueError("an autoregressive flow needs two latents or more; raise latent_dim or take the planar flow")
    rank = torch.arange(latent_dim)
    return [Autoregressive(rank.flip(0) if i % 2 else rank.clone(), context, width, depth) for i in range(layers)]
