"""A normalising flow as the prior."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.distributions.normal import diagonal_normal
from vaelab.distributions.pushforward import Pushforward
from vaelab.registry import Role, register
from vaelab.roles import Latent, Posterior, Prior


@register("prior", "flow", about="a flow prior")
class FlowPrior(Prior):
    """z = f(u) with u ~ N(0, I) and an invertible flow f (Huang et al. 2017).

    Training needs f⁻¹, so take a flow that is fast that way: `coupling`, `spline`, `cross_attention` or `maf`. For a
    conditional model f depends on the class, through `flow.context` learned features of it.
    """

    def __init__(
        self,
        latent_dim: int,
        classes: int = 0,
        conditional: bool = False,
        *,
        flow: Annotated[Any, Role("flow")] = "coupling",
    ) -> None:
        super().__init__()
        width = flow.context
        if conditional != (width > 0):
            raise ValueError(
                "a prior that sees the class needs a flow that does; set its flow.context=16"
                if conditional
                else "flow.context needs something to depend on; leave it out, or let the prior see the class"
            )
        self.flow = flow
        self.context = nn.Embedding(classes, width) if conditional else None
        self.zeros = nn.Buffer(torch.zeros(latent_dim), persistent=False)

    def forward(self, posterior: Posterior) -> Distribution:
        """The same distribution whatever the posterior."""
        if (context := self.context) is None:
            return self._of(None)
        return ByClass(lambda y: self._of(context(y)), context.num_embeddings, self.zeros)

    def _of(self, context: Tensor | None) -> Pushforward:
        return Pushforward(diagonal_normal(self.zeros, self.zeros), self.flow, context)


class ByClass(Latent):
    """p(z) = 1/C Σ_y p(z | y), with p(z | y) [B] = of(y) for classes y [B]."""

    def __init__(self, of: Callable[[Tensor], Distribution], classes: int, like: Tensor) -> None:
        self.of, self.classes = of, torch.arange(classes, device=like.device)
        super().__init__(event_shape=like.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) [...] of z [..., D]."""
        return self.of(self.classes).log_prob(value[..., None, :]).logsumexp(-1) - math.log(len(self.classes))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z [*sample_shape, D]: a class, then a draw of it."""
        with torch.no_grad():
            shape = torch.Size(sample_shape)
            y = torch.randint(len(self.classes), (shape.numel(),), device=self.classes.device)
            return self.of(y).sample().view(shape + self.event_shape)

    def condition(self, y: Tensor) -> Distribution:
        """p(z | y) for classes y [B]."""
        return self.of(y)
