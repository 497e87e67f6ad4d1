"""The pushforward of a distribution through a flow."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.distributions.latent import condition
from vaelab.roles import Bijection, Flow, Latent


class Pushforward(Latent):
    """z = f(u) with u ~ base and an invertible f: the transform that `flow(context)` returns."""

    has_rsample = True

    def __init__(self, base: Distribution, flow: Flow, context: Tensor | None = None) -> None:
        if context is not None and not base.batch_shape:
            base = base.expand(context.shape[:-1])
        self.base, self.flow, self.context = base, flow, context
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def transform(self) -> Bijection:
        """f."""
        return self.flow(self.context)

    def rsample_and_log_prob(self, samples: int) -> tuple[Tensor, Tensor]:
        """z and log q(z) = log base(u) − log |det ∂f/∂u|, without the inverse."""
        u = self.base.rsample(torch.Size((samples,)))
        z, log_det = self.transform.call_and_ladj(u)
        return z, self.base.log_prob(u) - log_det

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Reparameterised z [*sample_shape, *batch, D]."""
        return self.transform(self.base.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z [*sample_shape, *batch, D], also of a base that cannot be reparameterised."""
        with torch.no_grad():
            return self.transform(self.base.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """log base(f⁻¹(z)) + log |det ∂f⁻¹/∂z|."""
        u, log_det = self.transform.inv.call_and_ladj(value)
        return self.base.log_prob(u) + log_det

    def responsibilities(self, value: Tensor) -> Tensor:
        """p(k | z) [..., K], of a base that is a mixture."""
        if not isinstance(self.base, Latent):
            return super().responsibilities(value)
        return self.base.responsibilities(self.transform.inv(value))

    @property
    def location(self) -> Tensor:
        """The image of the base's mean: a point, no expectation."""
        return self.transform(self.base.mean)

    def condition(self, y: Tensor) -> "Pushforward":
        """p(z | y), if the base knows classes."""
        return Pushforward(condition(self.base, y), self.flow, self.context)
