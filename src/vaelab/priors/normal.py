"""The standard normal prior."""

import torch
from torch import nn
from torch.distributions import Independent

from vaelab.distributions import diagonal_normal
from vaelab.registry import register


@register("prior", "normal")
class NormalPrior(nn.Module):
    """p(z) = N(0, I) (Kingma & Welling 2014)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.zeros = nn.Buffer(torch.zeros(latent_dim), persistent=False)

    def forward(self, posterior: nn.Module) -> Independent:
        """The same distribution whatever the posterior."""
        return diagonal_normal(self.zeros, self.zeros)
