"""The linear layer that ends a network in a diagonal normal, and how many features it gets."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.distributions.normal import at_least_float32, diagonal_normal
from vaelab.nn.conditioning import LabelledEncoder, apply
from vaelab.nn.pyramid import PyramidEncoder


class NormalHead(nn.Linear):
    """Features -> N(mean, diag σ²), with log σ² within bounds.

    Beyond them the density would leave the range of float32 in a few bad steps.
    """

    def __init__(self, features: int, latent_dim: int, log_variance: tuple[float, float]) -> None:
        if not log_variance[0] < log_variance[1]:
            raise ValueError(f"log_variance must be [low, high] with low < high, got {list(log_variance)}")
        super().__init__(features, 2 * latent_dim)
        self.bounds = log_variance

    def forward(self, features: Tensor) -> Independent:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[..., F] -> distribution over [..., D]."""
        mean, log_variance = at_least_float32(super().forward(features)).chunk(2, -1)
        return diagonal_normal(mean, log_variance.clamp(*self.bounds) / 2)


@torch.no_grad()
def features_of(encoder: nn.Module, x_shape: tuple[int, int, int]) -> int:
    """The encoder's output size, from one image, so that a backbone need not declare it.

    ValueError of one that has latents for each of its stages, which another posterior gives it.
    """
    if isinstance(encoder, PyramidEncoder):
        raise ValueError("this backbone has latents for each of its stages; set model.posterior=residual")
    training = encoder.training
    y = torch.zeros(1, dtype=torch.int64) if isinstance(encoder, LabelledEncoder) else None
    features = apply(encoder.eval(), torch.zeros(1, *x_shape), y).shape[-1]
    encoder.train(training)
    return features
