"""A flow is a chain of invertible layers, which a context turns into one transform."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from vaelab.distributions.normal import at_least_float32
from vaelab.roles import Flow


class Layer(nn.Module, ABC):
    """One invertible step between vectors x and y [..., D], given a context c [..., C] or None."""

    @abstractmethod
    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """y and log |det ∂y/∂x| [...]."""

    @abstractmethod
    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """x and log |det ∂x/∂y| [...]."""


class LayeredFlow(Flow):
    """T = T_n ∘ … ∘ T_1 of layers, or its inverse; `flow(context)` is the transform from base noise u to latents z.

    `context` is the width of the context that it takes, 0 for none.
    """

    def __init__(self, layers: Iterable[Layer], latent_dim: int, context: int, inverted: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.latent_dim, self.context, self.inverted = latent_dim, context, inverted

    def forward(self, context: Tensor | None = None) -> "Chain":
        """Context [..., context] or None -> T; ValueError where the widths differ."""
        given = 0 if context is None else context.shape[-1]
        if given != self.context:
            raise ValueError(
                f"this flow takes a context of {self.context} numbers and got {given}; set context={given}"
            )
        return Chain(cast(list[Layer], list(self.layers)), self.latent_dim, context, self.inverted)


class Chain(Transform):
    """z = T(u) over the last dimension; leading dimensions of u and of the context broadcast.

    Networks and transforms run in float32 also within autocast, since an inverse of rounded numbers is none.
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, layers: list[Layer], latent_dim: int, context: Tensor | None, inverted: bool = False) -> None:
        super().__init__()
        self.layers, self.latent_dim, self.context, self.inverted = layers, latent_dim, context, inverted

    @property
    def inv(self) -> "Chain":
        """u = T⁻¹(z), as a transform."""
        return Chain(self.layers, self.latent_dim, self.context, not self.inverted)

    def __call__(self, x: Tensor) -> Tensor:
        """u [..., D] -> z [..., D]."""
        return self.call_and_ladj(x)[0]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """u [..., D] -> z [..., D] and log |det ∂z/∂u| [...]; ValueError for another D."""
        if x.shape[-1] != self.latent_dim:
            raise ValueError(
                f"this flow transforms {self.latent_dim} latents and got {x.shape[-1]}; build it with those"
            )
        with torch.autocast(x.device.type, enabled=False):
            x, c = at_least_float32(x), None if self.context is None else at_least_float32(self.context)
            if c is not None:
                x = x.expand(*torch.broadcast_shapes(x.shape[:-1], c.shape[:-1]), -1)
            total = x.new_zeros(x.shape[:-1])
            for layer in reversed(self.layers) if self.inverted else self.layers:
                x, ladj = layer.inverse(x, c) if self.inverted else layer(x, c)
                total = total + ladj
        return x, total

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det ∂y/∂x| [...]; `call_and_ladj` has it at no further cost."""
        return self.call_and_ladj(x)[1]


class Amortised(nn.Module):
    """The numbers that a layer needs, b + A c; without a context c, b alone."""

    def __init__(self, initial: Tensor, context: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(initial)
        small = 0.05 / math.sqrt(max(context, 1))
        self.weight = nn.Parameter(small * torch.randn(len(initial), context)) if context else None

    def forward(self, c: Tensor | None) -> Tensor:
        """[..., C] -> [..., N]."""
        return self.bias if self.weight is None else nn.functional.linear(cast(Tensor, c), self.weight, self.bias)


@torch.no_grad()
def start_small(layer: nn.Module) -> None:
    """Shrink a network's last layer: a flow begins near the identity, with a gradient in every parameter."""
    for parameter in layer.parameters():
        parameter *= 0.1


def joined(x: Tensor, c: Tensor | None) -> Tensor:
    """[..., D] and [..., C] -> [..., D + C]."""
    return x if c is None else torch.cat([x, c.expand(*x.shape[:-1], -1)], -1)
