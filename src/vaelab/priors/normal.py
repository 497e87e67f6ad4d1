"""The normal prior."""

import torch
from torch import nn
from torch.distributions import Distribution

from vaelab.distributions.mixture import DiagonalMixture
from vaelab.distributions.normal import diagonal_normal
from vaelab.registry import register
from vaelab.roles import Posterior, Prior


@register("prior", "normal", about="a standard normal prior")
class NormalPrior(Prior):
    """p(z) = N(0, I) (Kingma & Welling 2014); for a conditional model p(z | y) = N(mean_y, diag σ_y²), learned."""

    def __init__(self, latent_dim: int, classes: int = 0, conditional: bool = False) -> None:
        super().__init__()
        shape = (classes, latent_dim) if conditional else (latent_dim,)
        make = nn.Parameter if conditional else lambda zeros: nn.Buffer(zeros, persistent=False)
        self.mean, self.log_std = make(torch.zeros(shape)), make(torch.zeros(shape))
        self.conditional = conditional

    def forward(self, posterior: Posterior) -> Distribution:
        """The same distribution whatever the posterior."""
        if not self.conditional:
            return diagonal_normal(self.mean, self.log_std)
        labels = torch.arange(len(self.mean), device=self.mean.device)
        return DiagonalMixture(self.mean, self.log_std.exp(), labels=labels)
