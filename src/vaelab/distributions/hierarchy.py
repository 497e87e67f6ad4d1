"""Latents in levels, each drawn given those above it, and concatenated in one z with the top level first."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaelab.distributions import centre, constant_copy, detached, draw, given, kl_per_dimension


class Level(NamedTuple):
    """One level of latents: its distribution given those above, a value, and the log-density of that."""

    p: Distribution  # p(z_l | z_<l)
    z: Tensor  # [..., *batch, D_l]
    log_prob: Tensor  # [..., *batch]


class Hierarchy(Distribution):
    """p(z) = p(z₁) Π_l p(z_l | z_<l), with z = [z₁, z₂, …].

    Args:
        top: p(z₁).
        steps: for each level below, a module that makes p(z_l | z_<l) of z_<l [..., *batch, D_<l] and the context.
        context: what all steps see of an image, [*batch, …].
    """

    arg_constraints: ClassVar = {}  # pyright: ignore
    has_rsample = True

    def __init__(self, top: Distribution, steps: Sequence[nn.Module], context: Tensor | None = None) -> None:
        self.top, self.steps, self.context = top, steps, context
        self.sizes: list[int] = [top.event_shape[0], *(step.latent_dim for step in steps)]  # pyright: ignore
        super().__init__(top.batch_shape, torch.Size((sum(self.sizes),)), validate_args=False)

    def levels(self, z: Tensor) -> list[Level]:
        """Every level at z [..., *batch, D]."""
        parts = z.split(self.sizes, -1)
        below = [step(torch.cat(parts[:number], -1), self.context) for number, step in enumerate(self.steps, 1)]
        return _scored([self.top, *below], parts)

    def draw_levels(self, samples: int) -> list[Level]:
        """Every level at reparameterised draws z [K, *batch, D]."""
        z, log_prob = draw(self.top, samples)
        found = [Level(self.top, z, log_prob)]
        for step in self.steps:
            p = step(z, self.context)
            z_l = p.rsample()
            found.append(Level(p, z_l, p.log_prob(z_l)))
            z = torch.cat([z, z_l], -1)
        return found

    def draw(self, samples: int) -> tuple[Tensor, Tensor]:
        """See `distributions.draw`."""
        levels = self.draw_levels(samples)
        return torch.cat([level.z for level in levels], -1), log_prob_of(levels)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """Reparameterised z [*sample_shape, *batch, D]."""
        return self.below(self.top.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """z [*sample_shape, *batch, D], also of a top level that cannot be reparameterised."""
        with torch.no_grad():
            return self.below(self.top.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_l log p(z_l | z_<l)."""
        return log_prob_of(self.levels(value))

    @property
    def centre(self) -> Tensor:
        """The mean of each level given the means above it: a point, no expectation."""
        return self.below(centre(self.top), mean=True)

    def below(self, z: Tensor, known: int = 1, *, mean: bool = False) -> Tensor:
        """Whole latents [..., D] below the `known` first levels z [..., D_<l]: drawn, or each at its mean."""
        for step in self.steps[known - 1 :]:
            level = step(z, self.context)
            z = torch.cat([z, level.mean if mean else level.rsample()], -1)
        return z

    def responsibilities(self, value: Tensor) -> Tensor:
        """p(k | z) [..., K] of a top level that is a mixture."""
        return self.top.responsibilities(value[..., : self.sizes[0]])  # pyright: ignore

    def given(self, y: Tensor) -> "Hierarchy":
        """p(z | y), if the top level knows classes."""
        return Hierarchy(given(self.top, y), self.steps, self.context)

    def detached(self) -> "Hierarchy":
        """See `distributions.detached`."""
        context = None if self.context is None else self.context.detach()
        return Hierarchy(detached(self.top), [constant_copy(step) for step in self.steps], context)


def _scored(distributions: Sequence[Distribution], parts: Sequence[Tensor]) -> list[Level]:
    return [Level(p, z, p.log_prob(z)) for p, z in zip(distributions, parts, strict=True)]


def log_prob_of(levels: Sequence[Level]) -> Tensor:
    """Σ_l log p(z_l | z_<l)."""
    return torch.stack([level.log_prob for level in levels]).sum(0)


def levels_of(p: Distribution, sizes: Sequence[int], z: Tensor) -> list[Level] | None:
    """Every level at z, which of a diagonal normal are independent; None where p has others."""
    if isinstance(p, Hierarchy):
        return p.levels(z) if p.sizes == list(sizes) else None
    if not (isinstance(p, Independent) and isinstance(p.base_dist, Normal)):
        return None
    means, stds, parts = (t.split(list(sizes), -1) for t in (p.base_dist.loc, p.base_dist.scale, z))
    normals = [Normal(mean, std, validate_args=False) for mean, std in zip(means, stds, strict=True)]
    return _scored([Independent(normal, 1, validate_args=False) for normal in normals], parts)


def kl_of(q: Distribution, p: Distribution, z: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """KL(q ‖ p) per latent dimension [B, D] and per level [L, B], for draws z [K, B, D] of q.

    Of levels, the mean over the draws of KL(q(z_l | z_<l) ‖ p(z_l | z_<l)), in closed form where there is one: their
    sum has the KL for its expectation, with less noise than log q − log p. None for what cannot be told.
    """
    if not isinstance(q, Hierarchy):
        return kl_per_dimension(q, p), None
    return _kl_of_levels(q.levels(z), levels_of(p, q.sizes, z))


class Latents(NamedTuple):
    """Draws z of q, and what q and p say of them."""

    z: Tensor  # [K, B, D]
    log_qz: Tensor  # [K, B]
    log_pz: Tensor  # [K, B]
    kl: Tensor | None  # [B, D], and
    levels: Tensor | None  # [L, B]: see `kl_of`


def latents_of(q: Distribution, p: Distribution, samples: int) -> Latents:
    """Reparameterised draws of q, each level of which is computed once."""
    if not isinstance(q, Hierarchy):
        z, log_qz = draw(q, samples)
        return Latents(z, log_qz, p.log_prob(z), kl_per_dimension(q, p), None)
    of_q = q.draw_levels(samples)
    z = torch.cat([level.z for level in of_q], -1)
    of_p = levels_of(p, q.sizes, z)
    log_pz = p.log_prob(z) if of_p is None else log_prob_of(of_p)
    return Latents(z, log_prob_of(of_q), log_pz, *_kl_of_levels(of_q, of_p))


def _kl_of_levels(of_q: Sequence[Level], of_p: Sequence[Level] | None) -> tuple[Tensor | None, Tensor | None]:
    if of_p is None:
        return None, None
    closed, levels = [], []
    for q, p in zip(of_q, of_p, strict=True):
        kl = kl_per_dimension(q.p, p.p)
        closed.append(kl if kl is None or kl.dim() == 2 else kl.mean(0))
        levels.append((q.log_prob - p.log_prob).mean(0) if kl is None else closed[-1].sum(-1))
    return None if any(kl is None for kl in closed) else torch.cat(closed, -1), torch.stack(levels)
