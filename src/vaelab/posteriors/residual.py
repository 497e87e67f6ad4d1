"""The posterior of a Laplacian-pyramid VAE: each stage looks at what the stages before left of the image."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.distributions.hierarchy import Hierarchy
from vaelab.distributions.normal import diagonal_normal
from vaelab.nn.conditioning import LabelledEncoder
from vaelab.nn.heads import NormalHead
from vaelab.nn.pyramid import PyramidEncoder
from vaelab.registry import register
from vaelab.roles import Level, Posterior


class Stage(Level):
    """q(z_s | x, z_<s); N(0, I) as long as the model has not grown to this stage."""

    def __init__(self, encoder: PyramidEncoder, features: int, number: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.growth, self.features = encoder.growth, encoder.forward  # whose weights are listed once, by the posterior
        self.above, self.latent_dim = encoder.levels[:number], encoder.levels[number]
        self.head = NormalHead(features, self.latent_dim, bounds)

    def forward(self, above: Tensor, x: Tensor) -> Independent:
        """z_<s [..., B, D_<s] and images [B, C, H, W] -> distribution over z_s."""
        lead = above.shape[:-1]
        if len(self.above) > self.growth.stage:
            nothing = above.new_zeros(*lead, self.latent_dim)
            return diagonal_normal(nothing, nothing)
        parts = above.reshape(-1, above.shape[-1]).split(self.above, -1)
        features = self.features(x.expand(*lead, *x.shape[1:]).flatten(0, -4), parts)
        return self.head(features.unflatten(0, lead))


@register("posterior", "residual")
class ResidualPosterior(Posterior):
    """q(z | x) = Π_s q(z_s | x, z_<s), where stage s sees the image less the enlarged picture that z_<s draw.

    Needs the backbone `progressive_residual`; gradients go through the picture, as the bound's do.
    """

    def __init__(
        self,
        encoder: nn.Module,
        x_shape: tuple[int, int, int],
        *,
        log_variance: tuple[float, float] = (-14.0, 6.0),
    ) -> None:
        super().__init__()
        if isinstance(encoder, LabelledEncoder):
            raise ValueError("its stages see no class; leave encoder and decoder out of model.condition")
        if not isinstance(encoder, PyramidEncoder):
            raise ValueError("it needs the stages of a pyramid; set model.backbone=progressive_residual")
        with torch.no_grad():
            features = encoder(torch.zeros(1, *x_shape)).shape[-1]
        self.encoder = encoder
        first, *later = range(len(encoder.levels))
        self.first = NormalHead(features, encoder.levels[first], log_variance)
        self.stages = nn.ModuleList(Stage(encoder, features, number, log_variance) for number in later)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Hierarchy:
        """Images [B, C, H, W] in [0, 1] -> distribution over z [B, D]."""
        return Hierarchy(self.first(self.encoder(x)), cast(list[Level], list(self.stages)), x)

    def top(self, x: Tensor, y: Tensor | None = None) -> Independent:
        """q(z₁ | x) alone."""
        return self.first(self.encoder(x))
