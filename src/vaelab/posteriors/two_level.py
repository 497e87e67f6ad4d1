"""The posterior of a VAE with two levels of latents."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.distributions.hierarchy import Hierarchy
from vaelab.nn.branches import Branches
from vaelab.nn.conditioning import LabelledEncoder, bare
from vaelab.nn.gated import GatedLinear
from vaelab.nn.heads import NormalHead, features_of
from vaelab.registry import Size, register
from vaelab.roles import Level, Posterior


class Lower(Level):
    """q(z₂ | x, z₁): a gated layer for z₁, as wide as the features of the image, and one for both."""

    def __init__(self, above: int, features: int, latent_dim: int, width: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.of_above, self.joint = GatedLinear(above, features), GatedLinear(2 * features, width)
        self.head = NormalHead(width, latent_dim, bounds)

    def forward(self, above: Tensor, features: Tensor) -> Independent:
        """z₁ [..., B, D₁] and features [B, F] -> distribution over z₂."""
        of_above = self.of_above(above)
        return self.head(self.joint(torch.cat([of_above, features.expand_as(of_above)], -1)))


@register("posterior", "two_level", about="a posterior of two levels")
class TwoLevelPosterior(Posterior):
    """q(z₁ | x) q(z₂ | x, z₁), both diagonal normals, z₁ the top level (Tomczak & Welling 2018, who count from below).

    Takes `latent_dim: [top, bottom]`. With the backbones `hierarchical_mlp` and `hierarchical_conv` each level has an
    encoder of its own, as in the paper; with any other both share its features.
    """

    def __init__(
        self,
        encoder: nn.Module,
        x_shape: tuple[int, int, int],
        levels: tuple[int, ...],
        *,
        width: Size = 300,
        log_variance: tuple[float, float] = (-6.0, 2.0),
    ) -> None:
        super().__init__()
        if len(levels) != 2:
            raise ValueError(f"it has two levels of latents; set model.latent_dim=[top, bottom], not {list(levels)}")
        top, bottom = levels
        self.encoder = encoder
        inner = encoder.encoder if isinstance(encoder, LabelledEncoder) else encoder
        whole = features_of(encoder, x_shape)
        self.widths = inner.widths if isinstance(inner, Branches) else [whole, whole]
        self.top_head = NormalHead(self.widths[0], top, log_variance)
        self.lower = Lower(top, self.widths[1], bottom, width, log_variance)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Hierarchy:
        """Images [B, C, H, W] in [0, 1], and classes [B] if the encoder sees them -> distribution over z [B, D]."""
        net, x = bare(self.encoder, x, y)
        features = net(x)
        above, below = features.split(self.widths, -1) if isinstance(net, Branches) else (features, features)
        return Hierarchy(self.top_head(above), [self.lower], below)

    def top(self, x: Tensor, y: Tensor | None = None) -> Independent:
        """q(z₁ | x) alone, at the cost of the top level."""
        net, x = bare(self.encoder, x, y)
        return self.top_head(net.networks[0](x) if isinstance(net, Branches) else net(x))
