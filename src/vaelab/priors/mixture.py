"""A learned mixture of Gaussians as the prior."""

import torch
from torch import nn

from vaelab.distributions.mixture import DiagonalMixture
from vaelab.priors.components import Components, dealt_out
from vaelab.registry import register
from vaelab.roles import Posterior, Prior


@register("prior", "mixture", about="a mixture prior of {components} components")
class MixturePrior(Prior):
    """p(z) = Σ_k w_k N(mean_k, diag σ_k²), all learned with the rest of the model (Dilokthanakul et al. 2016).

    It begins with means of variance ½ and σ² = ½, near N(0, I) and with no two components alike; `learn_weights: false`
    keeps w_k = 1 / K. For a conditional model the components are dealt out to the classes.
    """

    def __init__(
        self,
        latent_dim: int,
        classes: int = 0,
        conditional: bool = False,
        *,
        components: Components = 20,
        learn_weights: bool = True,
    ) -> None:
        super().__init__()
        self.mean = nn.Parameter(0.5**0.5 * torch.randn(components, latent_dim))
        self.log_std = nn.Parameter(torch.full((components, latent_dim), 0.5).log() / 2)
        self.log_weights = nn.Parameter(torch.zeros(components)) if learn_weights else None
        self.labels = nn.Buffer(dealt_out(components, classes), persistent=False) if conditional else None

    def forward(self, posterior: Posterior) -> DiagonalMixture:
        """The same distribution whatever the posterior."""
        return DiagonalMixture(self.mean, self.log_std.exp(), self.log_weights, self.labels)
