"""The linear layer that ends a network in a diagonal normal."""

from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.distributions.normal import at_least_float32, diagonal_normal


class NormalHead(nn.Linear):
    """Features -> N(mean, diag σ²), with log σ² within bounds.

    Beyond them the density would leave the range of float32 in a few bad steps.
    """

    def __init__(self, features: int, latent_dim: int, log_variance: tuple[float, float]) -> None:
        if not log_variance[0] < log_variance[1]:
            raise ValueError(f"log_variance must be [low, high] with low < high, got {list(log_variance)}")
        super().__init__(features, 2 * latent_dim)
        self.bounds = log_variance

    def forward(self, features: Tensor) -> Independent:  # pyright: ignore
        """[..., F] -> distribution over [..., D]."""
        mean, log_variance = at_least_float32(super().forward(features)).chunk(2, -1)
        return diagonal_normal(mean, log_variance.clamp(*self.bounds) / 2)
