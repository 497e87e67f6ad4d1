"""Householder flow."""

from torch import Tensor

from vaelab.flows.chain import Amortised, Layer, LayeredFlow
from vaelab.nn.reflections import normals, reflect
from vaelab.registry import Count, Depth, register


class Householder(Layer):
    """y = H_n ⋯ H_1 x, a rotation or reflection: log |det| = 0."""

    def __init__(self, latent_dim: int, context: int, reflections: int) -> None:
        super().__init__()
        self.shape = reflections, latent_dim
        self.numbers = Amortised(normals(*self.shape).flatten(), context)

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """In order."""
        return reflect(x, self.numbers(c).unflatten(-1, self.shape)), x.new_zeros(x.shape[:-1])

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """In the opposite order, since every reflection is its own inverse."""
        return reflect(y, self.numbers(c).unflatten(-1, self.shape).flip(-2)), y.new_zeros(y.shape[:-1])


@register("flow", "householder")
def householder(latent_dim: int, *, context: Count = 0, reflections: Depth = 10) -> LayeredFlow:
    """`reflections` in hyperplanes whose normals are linear in the context (Tomczak & Welling 2016).

    It preserves volume and gives a diagonal normal correlations. An even number begins near the identity.
    """
    return LayeredFlow([Householder(latent_dim, context, reflections)], latent_dim, context)
