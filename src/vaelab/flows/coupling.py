"""Coupling flows: one half of the latents is transformed by what a network says of the other half."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.flows.chain import Layer, LayeredFlow, joined, start_small
from vaelab.registry import Count, Depth, Positive, Size, register


class Coupling(Layer):
    """y_a = x_a and y_b = f(x_b; network(x_a, c)), with f monotone in each coordinate.

    `univariate` makes f of parameters with these `shapes` per coordinate; a is the first half of the permutation.
    """

    def __init__(
        self, permutation: Tensor, context: int, width: int, depth: int, univariate: Callable, shapes: list[tuple]
    ) -> None:
        from zuko.nn import MLP
        from zuko.utils import unpack

        super().__init__()
        self.permutation, self.back = nn.Buffer(permutation), nn.Buffer(permutation.argsort())
        self.sizes = [len(permutation) // 2, (len(permutation) + 1) // 2]
        numbers = sum(shape[0] if shape else 1 for shape in shapes)
        self.network = MLP(self.sizes[0] + context, self.sizes[1] * numbers, [width] * depth, nn.SiLU)
        start_small(self.network[-1])
        self.univariate, self.unpack = univariate, partial(unpack, shapes=shapes)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """One network evaluation, as in the inverse."""
        a, b = self._halves(x)
        return self._whole(a, *self._transform(a, c).call_and_ladj(b))

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same halves, since a is unchanged."""
        a, b = self._halves(y)
        return self._whole(a, *self._transform(a, c).inv.call_and_ladj(b))

    def _transform(self, a: Tensor, c: Tensor | None) -> Any:
        return self.univariate(*self.unpack(self.network(joined(a, c)).unflatten(-1, (self.sizes[1], -1))))

    def _halves(self, x: Tensor) -> tuple[Tensor, ...]:
        return x[..., self.permutation].split(self.sizes, -1)

    def _whole(self, a: Tensor, b: Tensor, ladj: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([a, b], -1)[..., self.back], ladj.sum(-1)


@register("flow", "coupling")
def coupling(
    latent_dim: int, *, context: Count = 0, layers: Depth = 4, width: Size = 128, depth: Depth = 2
) -> LayeredFlow:
    """f(x) = x·exp(s) + t, |s| < log 1000; networks of `depth` layers of `width` units (Dinh et al. 2017)."""
    from zuko.transforms import MonotonicAffineTransform

    orders = _orders(latent_dim, layers)
    steps = [Coupling(order, context, width, depth, MonotonicAffineTransform, [(), ()]) for order in orders]
    return LayeredFlow(steps, latent_dim, context)


@register("flow", "spline")
def spline(
    latent_dim: int,
    *,
    context: Count = 0,
    layers: Depth = 4,
    width: Size = 128,
    depth: Depth = 2,
    bins: Size = 8,
    bound: Positive = 5.0,
) -> LayeredFlow:
    """f is a rational-quadratic spline of `bins` pieces within ±`bound`, the identity beyond (Durkan et al. 2019)."""
    from zuko.transforms import MonotonicRQSTransform

    if bins < 2:
        raise ValueError("a spline of one piece is the identity; set bins to 2 or more")
    univariate, shapes = partial(MonotonicRQSTransform, bound=bound), [(bins,), (bins,), (bins - 1,)]
    orders = _orders(latent_dim, layers)
    return LayeredFlow([Coupling(o, context, width, depth, univariate, shapes) for o in orders], latent_dim, context)


def _orders(latent_dim: int, layers: int) -> list[Tensor]:
    """A random permutation for every two layers, which the second reverses: together they move every latent."""
    if latent_dim < 2:
        raise ValueError("a coupling needs two latents or more; raise latent_dim or take the planar flow")
    drawn = [torch.randperm(latent_dim) for _ in range(0, layers, 2)]
    return [drawn[i // 2].flip(0) if i % 2 else drawn[i // 2] for i in range(layers)]
