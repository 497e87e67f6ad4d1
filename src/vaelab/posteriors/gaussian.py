"""Diagonal Gaussian posterior."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.nn.conditioning import LabelledEncoder, apply
from vaelab.nn.heads import NormalHead
from vaelab.registry import register
from vaelab.roles import Posterior


@register("posterior", "gaussian")
class GaussianPosterior(Posterior):
    """q(z | x) = N(mean(x), diag σ²(x)), one linear head on the encoder's features (Kingma & Welling 2014).

    `log_variance` bounds log σ².
    """

    def __init__(
        self,
        encoder: nn.Module,
        x_shape: tuple[int, int, int],
        latent_dim: int,
        *,
        log_variance: tuple[float, float] = (-14.0, 6.0),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = NormalHead(features_of(encoder, x_shape), latent_dim, log_variance)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Independent:
        """Images [B, C, H, W] in [0, 1], and classes [B] if the encoder sees them -> distribution over z [B, D]."""
        return self.given_features(apply(self.encoder, x, y))

    def given_features(self, features: Tensor) -> Independent:
        """The distribution of an image with these features [B, F]."""
        return self.head(features)


@torch.no_grad()
def features_of(encoder: nn.Module, x_shape: tuple[int, int, int]) -> int:
    """The encoder's output size, from one image, so that a backbone need not declare it.

    ValueError of an encoder that works with one posterior alone, whose `posterior` names it.
    """
    if needed := getattr(encoder, "posterior", None):
        raise ValueError(f"this backbone has latents for each of its stages; set model.posterior={needed}")
    training = encoder.training
    y = torch.zeros(1, dtype=torch.int64) if isinstance(encoder, LabelledEncoder) else None
    features = apply(encoder.eval(), torch.zeros(1, *x_shape), y).shape[-1]
    encoder.train(training)
    return features
