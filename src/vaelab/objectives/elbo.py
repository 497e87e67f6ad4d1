"""The evidence lower bound, with the weights and constraints that the classic VAEs put on its KL term."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from torch import Tensor

from vaelab.registry import NonNegative, Size, register
from vaelab.roles import Objective, Terms
from vaelab.schedules import Constant, Scheduled


@register("objective", "elbo", about="the ELBO")
@dataclass(frozen=True)
class ELBO(Objective):
    """loss = −E log p(x | z) + β · KL(q ‖ p) (Kingma & Welling 2014; β-VAE, Higgins et al. 2017).

    - `kl`: in closed form, by the draws, or (auto) in closed form where the prior and posterior allow it;
    - `free_bits`: λ nats per latent dimension are free: Σ_d max(KL_d, λ) of the batch means (Kingma et al. 2016);
    - `free_nats`: λ nats of the whole KL are free: max(KL, λ) of the batch mean, with no gradient below;
    - `level_nats`: λ nats of each level of a hierarchy are free: Σ_l max(KL_l, λ) of the batch means;
    - `capacity`: β · |KL − C| with a scheduled C in nats (Burgess et al. 2018);
    - `reduction: mean` divides both terms by the number of pixels, so that β keeps its meaning.
    """

    pixels: int = 1  # C · H · W, supplied by the program
    _: KW_ONLY
    kl: Literal["auto", "analytic", "monte_carlo"] = "auto"
    beta: Scheduled = Constant(value=1.0)
    free_bits: NonNegative = 0.0
    free_nats: NonNegative = 0.0
    level_nats: NonNegative = 0.0
    capacity: Scheduled | None = None
    reduction: Literal["sum", "mean"] = "sum"
    samples: Size = 1

    def __post_init__(self) -> None:
        if self.free_bits and self.kl == "monte_carlo":
            raise ValueError("free_bits are counted per latent dimension, which kl: monte_carlo does not give")
        if self.level_nats and self.kl == "monte_carlo":
            raise ValueError("level_nats are counted per level, which kl: monte_carlo does not give; set kl=auto")
        if sum(map(bool, (self.free_bits, self.free_nats, self.level_nats, self.capacity))) > 1:
            raise ValueError(
                "free_bits, free_nats, level_nats and capacity each say what the KL may be; give one of them"
            )

    @property
    def settled(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The step from which β and C no longer change."""
        return max(s.settled for s in (self.beta, self.capacity) if s is not None)

    def __call__(self, terms: Terms, step: float | Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss to minimise and what to log, in nats per image; β as applied."""
        beta, reconstruction = self.beta(step), -terms.log_px.mean()
        rate = self._rate(terms).mean()
        penalty = self._penalty(terms, rate)
        if self.capacity is not None:
            penalty = (penalty - self.capacity(step)).abs()
        loss = reconstruction + beta * penalty
        if self.reduction == "mean":
            loss = loss / self.pixels
        scalars = {"loss": loss, "reconstruction": reconstruction, "kl": rate, "beta": beta}
        if self.kl == "monte_carlo":  # by whose draws the levels are not counted
            return loss, scalars
        return loss, scalars | {k: kl.mean() for k, kl in terms.by_level.items()}

    def bound(self, terms: Terms) -> Tensor:
        """The ELBO per image [B], at β = 1 and without constraints: what models are selected by."""
        return terms.log_px.mean(0) - self._rate(terms)

    def _rate(self, terms: Terms) -> Tensor:
        if self.kl == "analytic":
            return _closed_form(terms).sum(-1)
        return (terms.log_qz - terms.log_pz).mean(0) if self.kl == "monte_carlo" else terms.rate

    def _penalty(self, terms: Terms, rate: Tensor) -> Tensor:
        """The KL with what is free of it."""
        if self.free_bits:
            return _closed_form(terms).mean(0).clamp(min=self.free_bits).sum()
        if self.level_nats:
            return _levels(terms).mean(1).clamp(min=self.level_nats).sum()
        return rate.clamp(min=self.free_nats) if self.free_nats else rate


def _closed_form(terms: Terms) -> Tensor:
    if terms.kl is None:
        raise ValueError(
            "this prior and posterior have no closed-form KL; set objective.kl=monte_carlo and leave out free_bits"
        )
    return terms.kl


def _levels(terms: Terms) -> Tensor:
    if terms.levels is None:
        raise ValueError(
            "level_nats are counted per level, and these latents have none; leave them out, or take the posterior "
            "two_level, ladder or residual with a prior of the same levels"
        )
    return terms.levels
