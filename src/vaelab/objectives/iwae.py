"""The importance-weighted bound."""

import math
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from vaelab.registry import Size, register
from vaelab.roles import Objective, Terms


@register("objective", "iwae", about="the importance-weighted bound")
@dataclass(frozen=True)
class IWAE(Objective):
    """loss = −E log (1/K) Σ_k w_k, with w_k = p(x, z_k) / q(z_k | x) (Burda et al. 2016).

    With `doubly_reparameterised` the encoder's gradient is Σ_k w̃_k² ∂log w_k/∂z_k ∂z_k/∂φ, w̃ the normalised
    weights: unbiased as well, and its signal-to-noise ratio does not fall with K (Tucker et al. 2019).
    """

    _: KW_ONLY
    samples: Size = 50
    doubly_reparameterised: bool = False

    @property
    def path(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether log q must be constant in the encoder's parameters."""
        return self.doubly_reparameterised

    def __call__(self, terms: Terms, step: float | Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss to minimise and what to log, in nats per image."""
        bound = self.bound(terms).mean()
        loss = -bound
        if self.doubly_reparameterised:
            weights = terms.log_w.detach().softmax(0)
            if terms.z.requires_grad:
                terms.z.register_hook(lambda gradient: gradient * weights.unsqueeze(-1))
            surrogate = -(weights * terms.log_w).sum(0).mean()
            loss = surrogate + (loss - surrogate).detach()  # the value of the bound, the surrogate's gradient
        rate = (terms.log_qz - terms.log_pz).mean() if terms.levels is None else terms.rate.mean()
        scalars = {"loss": loss, "reconstruction": -terms.log_px.mean(), "kl": rate, "beta": 1.0}
        return loss, scalars | {k: kl.mean() for k, kl in terms.by_level.items()}

    def bound(self, terms: Terms) -> Tensor:
        """log (1/K) Σ_k w_k per image [B]."""
        return torch.logsumexp(terms.log_w, 0) - math.log(len(terms.log_w))
