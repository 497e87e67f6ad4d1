"""Latents in levels, each drawn given those above it, and concatenated in one z with the top level first."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaelab.distributions.latent import condition, location, rsample_and_log_prob
from vaelab.distributions.normal import kl_per_dimension, normal_of
from vaelab.roles import Latent, Level


class LevelDraw(NamedTuple):
    """One level of latents: its distribution given those above, a value, and the log-density of that."""

    p: Distribution  # p(z_l | z_<l)
    z: Tensor  # [..., *batch, D_l]
    log_prob: Tensor  # [..., *batch]


class Hierarchy(Latent):
    """p(z) = p(z₁) Π_l p(z_l | z_<l), with z = [z₁, z₂, …].

    Args:
        top: p(z₁).
        levels: those below it.
        context: what all levels see of an image, [*batch, …].
    """

    has_rsample = True

    def __init__(self, top: Distribution, levels: Sequence[Level], context: Tensor | None = None) -> None:
        self.top, self.levels, self.context = top, levels, context
        self.sizes: list[int] = [top.event_shape[0], *(level.latent_dim for level in levels)]
        super().__init__(top.batch_shape, torch.Size((sum(self.sizes),)), validate_args=False)

    def at(self, z: Tensor) -> list[LevelDraw]:
        """Every level at z [..., *batch, D]."""
        parts = z.split(self.sizes, -1)
        below = [level(torch.cat(parts[:number], -1), self.context) for number, level in enumerate(self.levels, 1)]
        return _scored([self.top, *below], parts)

    def rsample_levels(self, samples: int) -> list[LevelDraw]:
        """Every level at reparameterised draws z [K, *batch, D]."""
        z, log_prob = rsample_and_log_prob(self.top, samples)
        found = [LevelDraw(self.top, z, log_prob)]
        for level in self.levels:
            p = level(z, self.context)
            z_l = p.rsample()
            found.append(LevelDraw(p, z_l, p.log_prob(z_l)))
            z = torch.cat([z, z_l], -1)
        return found

    def rsample_and_log_prob(self, samples: int) -> tuple[Tensor, Tensor]:
        """z and log p(z), for which each level is computed once."""
        drawn = self.rsample_levels(samples)
        return torch.cat([level.z for level in drawn], -1), log_prob_of(drawn)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Reparameterised z [*sample_shape, *batch, D]."""
        return self.below(self.top.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z [*sample_shape, *batch, D], also of a top level that cannot be reparameterised."""
        with torch.no_grad():
            return self.below(self.top.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_l log p(z_l | z_<l)."""
        return log_prob_of(self.at(value))

    @property
    def location(self) -> Tensor:
        """The mean of each level given the means above it: a point, no expectation."""
        return self.below(location(self.top), mean=True)

    def below(self, z: Tensor, known: int = 1, *, mean: bool = False) -> Tensor:
        """Whole latents [..., D] below the `known` first levels z [..., D_<l]: drawn, or each at its mean."""
        for level in self.levels[known - 1 :]:
            p = level(z, self.context)
            z = torch.cat([z, p.mean if mean else p.rsample()], -1)
        return z

    def responsibilities(self, value: Tensor) -> Tensor:
        """p(k | z) [..., K] of a top level that is a mixture."""
        if not isinstance(self.top, Latent):
            return super().responsibilities(value)
        return self.top.responsibilities(value[..., : self.sizes[0]])

    def condition(self, y: Tensor) -> "Hierarchy":
        """p(z | y), if the top level knows classes."""
        return Hierarchy(condition(self.top, y), self.levels, self.context)


def _scored(distributions: Sequence[Distribution], parts: Sequence[Tensor]) -> list[LevelDraw]:
    return [LevelDraw(p, z, p.log_prob(z)) for p, z in zip(distributions, parts, strict=True)]


def log_prob_of(levels: Sequence[LevelDraw]) -> Tensor:
    """Σ_l log p(z_l | z_<l)."""
    return torch.stack([level.log_prob for level in levels]).sum(0)


def levels_of(p: Distribution, sizes: Sequence[int], z: Tensor) -> list[LevelDraw] | None:
    """Every level at z, which of a diagonal normal are independent; None where p has others."""
    if isinstance(p, Hierarchy):
        return p.at(z) if p.sizes == list(sizes) else None
    if (normal := normal_of(p)) is None:
        return None
    means, stds, parts = (t.split(list(sizes), -1) for t in (normal.loc, normal.scale, z))
    normals = [Normal(mean, std, validate_args=False) for mean, std in zip(means, stds, strict=True)]
    return _scored([Independent(normal, 1, validate_args=False) for normal in normals], parts)


def kl_of(q: Distribution, p: Distribution, z: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """KL(q ‖ p) per latent dimension [B, D] and per level [L, B], for draws z [K, B, D] of q.

    Of levels, the mean over the draws of KL(q(z_l | z_<l) ‖ p(z_l | z_<l)), in closed form where there is one: their
    sum has the KL for its expectation, with less noise than log q − log p. None for what cannot be told.
    """
    if not isinstance(q, Hierarchy):
        return kl_per_dimension(q, p), None
    return _kl_of_levels(q.at(z), levels_of(p, q.sizes, z))


class Scored(NamedTuple):
    """Draws z of q, and what q and p say of them."""

    z: Tensor  # [K, B, D]
    log_qz: Tensor  # [K, B]
    log_pz: Tensor  # [K, B]
    kl: Tensor | None  # [B, D], and
    levels: Tensor | None  # [L, B]: see `kl_of`


def rsample_scored(q: Distribution, p: Distribution, samples: int) -> Scored:
    """Reparameterised draws of q, each level of which is computed once."""
    if not isinstance(q, Hierarchy):
        z, log_qz = rsample_and_log_prob(q, samples)
        return Scored(z, log_qz, p.log_prob(z), kl_per_dimension(q, p), None)
    of_q = q.rsample_levels(samples)
    z = torch.cat([level.z for level in of_q], -1)
    of_p = levels_of(p, q.sizes, z)
    log_pz = p.log_prob(z) if of_p is None else log_prob_of(of_p)
    return Scored(z, log_prob_of(of_q), log_pz, *_kl_of_levels(of_q, of_p))


def _kl_of_levels(of_q: Sequence[LevelDraw], of_p: Sequence[LevelDraw] | None) -> tuple[Tensor | None, Tensor | None]:
    if of_p is None:
        return None, None
    closed, levels = [], []
    for q, p in zip(of_q, of_p, strict=True):
        kl = kl_per_dimension(q.p, p.p)
        closed.append(kl if kl is None or kl.dim() == 2 else kl.mean(0))
        levels.append((q.log_prob - p.log_prob).mean(0) if kl is None else closed[-1].sum(-1))
    return None if any(kl is None for kl in closed) else torch.cat(closed, -1), torch.stack(levels)
