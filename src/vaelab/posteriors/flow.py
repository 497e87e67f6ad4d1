"""A posterior that a flow shapes."""

from typing import Annotated, Any

from torch import Tensor, nn

from vaelab.distributions.normal import at_least_float32
from vaelab.distributions.pushforward import Pushforward
from vaelab.nn.conditioning import apply
from vaelab.nn.heads import features_of
from vaelab.posteriors.gaussian import GaussianPosterior
from vaelab.registry import Role, register
from vaelab.roles import Posterior


@register("posterior", "flow", about="a posterior with a {flow} flow")
class FlowPosterior(Posterior):
    """z = f(u) with u ~ N(mean(x), diag σ²(x)) and an invertible flow f (Rezende & Mohamed 2015).

    With `flow.context` above 0, f depends on that many linear features of the image. Without, f is one map for all
    images: it then cancels out of KL(q ‖ p) wherever the prior goes through it as well (`vamp` with `of: posterior`),
    and only moves the latent that the decoder sees.
    """

    def __init__(
        self,
        encoder: nn.Module,
        x_shape: tuple[int, int, int],
        latent_dim: int,
        *,
        flow: Annotated[Any, Role("flow")] = "coupling",
        log_variance: tuple[float, float] = (-14.0, 6.0),
    ) -> None:
        super().__init__()
        self.base = GaussianPosterior(encoder, x_shape, latent_dim, log_variance=log_variance)
        width = flow.context
        self.context = nn.Linear(features_of(encoder, x_shape), width) if width else None
        self.flow = flow

    def forward(self, x: Tensor, y: Tensor | None = None) -> Pushforward:
        """Images [B, C, H, W] in [0, 1], and classes [B] if the encoder sees them -> distribution over z [B, D]."""
        features = apply(self.base.encoder, x, y)
        context = at_least_float32(self.context(features)) if self.context else None
        return Pushforward(self.base.given_features(features), self.flow, context)
