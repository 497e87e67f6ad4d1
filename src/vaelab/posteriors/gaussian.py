"""Diagonal Gaussian posterior."""

from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.nn.conditioning import apply
from vaelab.nn.heads import NormalHead, features_of
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
