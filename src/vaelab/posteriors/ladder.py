"""The posterior of a ladder VAE: the top-down path of the prior, corrected by what the image says."""

from collections.abc import Sequence
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from vaelab.distributions.hierarchy import Hierarchy
from vaelab.distributions.normal import diagonal_normal, normal_of
from vaelab.nn.conditioning import apply
from vaelab.nn.heads import NormalHead, features_of
from vaelab.registry import Size, register
from vaelab.roles import Level, Posterior


class Down(Level):
    """p(z_l | z_<l): two layers and a head; it sees no image."""

    def __init__(self, above: int, latent_dim: int, width: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.net = nn.Sequential(nn.Linear(above, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.head = NormalHead(width, latent_dim, bounds)

    def forward(self, above: Tensor, context: Tensor | None = None) -> Independent:
        """z_<l [..., D_<l] -> distribution over z_l."""
        return self.head(self.net(above))


class Merge(Level):
    """q(z_l | x, z_<l) ∝ p(z_l | z_<l) · N(z_l; mean(x), σ²(x)): precisions add up, means are weighted by them."""

    def __init__(self, down: Down, number: int, width: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.down, self.head = down, NormalHead(width, down.latent_dim, bounds)
        self.latent_dim, self.columns = down.latent_dim, slice(number * width, (number + 1) * width)

    def forward(self, above: Tensor, features: Tensor) -> Independent:
        """z_<l [..., B, D_<l] and the features of all levels [B, L · W] -> distribution over z_l."""
        p, seen = (normal_of(q) for q in (self.down(above), self.head(features[..., self.columns])))
        assert p is not None and seen is not None
        of_p, of_x = p.scale.pow(-2), seen.scale.pow(-2)
        precision = of_p + of_x
        return diagonal_normal((p.loc * of_p + seen.loc * of_x) / precision, -precision.log() / 2)


@register("posterior", "ladder")
class LadderPosterior(Posterior):
    """q(z | x) = q(z₁ | x) Π_l q(z_l | x, z_<l), each the product of p(z_l | z_<l) and of what the image says of z_l.

    Features of the image climb from the lowest level to the top; the way down is shared with the prior `ladder`
    (Sønderby et al. 2016). Takes `latent_dim: [top, …, bottom]`; `objective.level_nats` keeps levels from falling
    silent early. Every level sees all above it, and the decoder sees all levels.
    """

    def __init__(
        self,
        encoder: nn.Module,
        x_shape: tuple[int, int, int],
        levels: tuple[int, ...],
        *,
        width: Size = 256,
        log_variance: tuple[float, float] = (-8.0, 4.0),
    ) -> None:
        super().__init__()
        if len(levels) < 2:
            raise ValueError(f"a ladder has levels; set model.latent_dim=[top, …, bottom], not {list(levels)}")
        self.encoder = encoder
        inputs = [features_of(encoder, x_shape), *[width] * (len(levels) - 1)]
        self.up = nn.ModuleList(nn.Sequential(nn.Linear(i, width), nn.SiLU()) for i in inputs)
        self.top_head = NormalHead(width, levels[0], log_variance)
        above = accumulate(levels)
        self.merges = nn.ModuleList(
            Merge(Down(seen, size, width, log_variance), number, width, log_variance)
            for number, (seen, size) in enumerate(zip(above, levels[1:], strict=False))
        )

    @property
    def downs(self) -> Sequence[Level]:
        """p(z_l | z_<l) of the levels below the top."""
        return [cast(Merge, merge).down for merge in self.merges]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Hierarchy:
        """Images [B, C, H, W] in [0, 1], and classes [B] if the encoder sees them -> distribution over z [B, D]."""
        *lower, top = self._climb(x, y)
        return Hierarchy(self.top_head(top), cast(list[Level], list(self.merges)), torch.cat(lower[::-1], -1))

    def top(self, x: Tensor, y: Tensor | None = None) -> Independent:
        """q(z₁ | x) alone."""
        return self.top_head(self._climb(x, y)[-1])

    def _climb(self, x: Tensor, y: Tensor | None) -> list[Tensor]:
        """Features [B, W] of each level, the lowest first."""
        features = [apply(self.encoder, x, y)]
        for up in self.up:
            features.append(up(features[-1]))
        return features[1:]
