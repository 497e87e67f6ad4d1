"""Latents in levels, each drawn given those above it, and concatenated in one z with the top level first."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaelab.distributions import centre, constant_copy, detached, draw, given, kl_per_dimension


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
        self._known: tuple[Tensor, bool, list[tuple[Distribution, Tensor]]] | None = None  # of which z, with gradients?
        super().__init__(top.batch_shape, torch.Size((sum(self.sizes),)), validate_args=False)

    def levels(self, z: Tensor) -> list[tuple[Distribution, Tensor]]:
        """p(z_l | z_<l) and z_l of each level, for z [..., *batch, D]; of the z last drawn or scored, at no cost."""
        learning = torch.is_grad_enabled()
        if self._known is None or self._known[0] is not z or learning > self._known[1]:
            parts = z.split(self.sizes, -1)
            found = [(self.top, parts[0])]
            for level, step in enumerate(self.steps, 1):
                found.append((step(torch.cat(parts[:level], -1), self.context), parts[level]))
            self._known = z, learning, found
        return self._known[2]

    def draw(self, samples: int) -> tuple[Tensor, Tensor]:
        """See `distributions.draw`."""
        z, log_q = draw(self.top, samples)
        found = [(self.top, z)]
        for step in self.steps:
            level = step(z, self.context)
            drawn = level.rsample()
            found.append((level, drawn))
            z, log_q = torch.cat([z, drawn], -1), log_q + level.log_prob(drawn)
        self._known = z, torch.is_grad_enabled(), found
        return z, log_q

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """Reparameterised z [*sample_shape, *batch, D]."""
        return self.below(self.top.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """z [*sample_shape, *batch, D], also of a top level that cannot be reparameterised."""
        with torch.no_grad():
            return self.below(self.top.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_l log p(z_l | z_<l)."""
        return torch.stack([p.log_prob(z) for p, z in self.levels(value)]).sum(0)

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


def levels_of(p: Distribution, sizes: Sequence[int], z: Tensor) -> list[tuple[Distribution, Tensor]] | None:
    """p(z_l | z_<l) and z_l of each level, which of a diagonal normal are independent; None where p has others."""
    if isinstance(p, Hierarchy):
        return p.levels(z) if p.sizes == list(sizes) else None
    if not (isinstance(p, Independent) and isinstance(p.base_dist, Normal)):
        return None
    parts = zip(*(t.split(list(sizes), -1) for t in (p.base_dist.loc, p.base_dist.scale, z)), strict=True)
    return [(Independent(Normal(mean, std, validate_args=False), 1, validate_args=False), z) for mean, std, z in parts]


def kl_of(q: Distribution, p: Distribution, z: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """KL(q ‖ p) per latent dimension [B, D] and per level [L, B], for draws z [K, B, D] of q.

    Of levels, the mean over the draws of KL(q(z_l | z_<l) ‖ p(z_l | z_<l)), in closed form where there is one: their
    sum has the KL for its expectation, with less noise than log q − log p. None for what cannot be told.
    """
    if not isinstance(q, Hierarchy):
        return kl_per_dimension(q, p), None
    of_p = levels_of(p, q.sizes, z)
    if of_p is None:
        return None, None
    closed, levels = [], []
    for (q_l, z_l), (p_l, _) in zip(q.levels(z), of_p, strict=True):
        kl = kl_per_dimension(q_l, p_l)
        closed.append(kl if kl is None or kl.dim() == 2 else kl.mean(0))
        levels.append((q_l.log_prob(z_l) - p_l.log_prob(z_l)).mean(0) if kl is None else closed[-1].sum(-1))
    return None if any(kl is None for kl in closed) else torch.cat(closed, -1), torch.stack(levels)
