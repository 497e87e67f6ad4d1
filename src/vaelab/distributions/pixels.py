"""Distributions of pixels that torch lacks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from vaelab.roles import Unchecked


class ContinuousBernoulli(Unchecked):
    """p(x) ∝ exp(ηx) on [0, 1], with the logit η (Loaiza-Ganem & Cunningham 2019).

    As an exponential family, so that every logit has its exact constant; torch's own class clamps the probability and
    loses mass beyond |η| ≈ 16.
    """

    @property
    def support(self) -> constraints.Constraint:
        """[0, 1]."""
        return constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """η(x − ½) − log(sinh(η/2) / (η/2))."""
        return self.logits * (value - 0.5) - _log_sinhc(self.logits / 2)

    @property
    def mean(self) -> Tensor:
        """½ + ½ L(η/2), with Langevin's function L(a) = coth a − 1/a."""
        a = self.logits / 2
        safe = torch.where(a.abs() < 0.1, 1.0, a)
        return 0.5 + 0.5 * torch.where(a.abs() < 0.1, a / 3 - a**3 / 45, 1 / safe.tanh() - 1 / safe)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The inverse distribution function log(1 + u(e^η − 1)) / η at uniform u."""
        with torch.no_grad():
            u = torch.rand(
                self._extended_shape(torch.Size(sample_shape)),
                dtype=self.logits.dtype,
                device=self.logits.device,
            )
            a = self.logits.abs().clamp(min=1e-3)  # below that the density is flat to 1e-4
            # For η < 0 the density is the mirror image, and e^|η| never overflows in this form.
            x = 1 + torch.log(u + (1 - u) * torch.exp(-a)) / a
            return torch.where(self.logits < 0, 1 - x, x).clamp(0, 1)


def _log_sinhc(a: Tensor) -> Tensor:
    """log(sinh(a) / a), even in a, without overflow; by its series where the quotient loses digits."""
    a = a.abs()
    safe = a.clamp(min=0.1)
    exact = safe + torch.log1p(-torch.exp(-2 * safe)) - torch.log(2 * safe)
    return torch.where(a < 0.1, a**2 / 6 - a**4 / 180 + a**6 / 2835, exact)


class DiscretisedLogistic(Unchecked):
    """A logistic variable rounded to `levels` equal steps of [0, 1]; the end steps take the tails (Kingma et al. 2016).

    P(x) = σ(b) − σ(a) with a, b the standardised edges of the step, so that all levels sum to one exactly. Location
    and scale are in units of x.
    """

    @property
    def support(self) -> constraints.Constraint:
        """[0, 1]."""
        return constraints.unit_interval

    def __init__(self, location: Tensor, log_scale: Tensor, levels: int = 256) -> None:
        self.location, self.log_scale = torch.broadcast_tensors(location, log_scale)
        self.levels = levels
        super().__init__(self.location.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log σ(b) + log σ(−a) + log(1 − e^(a−b)), which is log(σ(b) − σ(a)) without cancellation."""
        value, location, white = self._comparable(value)
        half, precision = 0.5 * white / (self.levels - 1), torch.exp(-self.log_scale) / white
        below = (value - half - location) * precision
        above = (value + half - location) * precision
        log_below = torch.where(value > half, F.logsigmoid(-below), 0.0)
        log_above = torch.where(value < white - half, F.logsigmoid(above), 0.0)
        inside = (value > half) & (value < white - half)
        width = torch.where(inside, 2 * half * precision, 1.0)
        return log_below + log_above + torch.where(inside, torch.log(-torch.expm1(-width)), 0.0)

    def _comparable(self, value: Tensor) -> tuple[Tensor, Tensor, int]:
        """Values, location and white (1) in units in which the edge of a level is the same from both its sides.

        Of x, float32 knows the edges of 256 levels to 1e-5 of a step, and those of 65,536 to 0.4 %, so that their
        masses would be off by as much: beyond 256, levels are numbered, and their edges exact.
        """
        if self.levels <= 256:
            return value, self.location, 1
        white = self.levels - 1
        return (value * white).round(), self.location * white, white

    @property
    def mean(self) -> Tensor:
        """∫₀¹ P(X > t) dt of the logistic clipped to [0, 1]; off by half a level at most, as the scale goes to 0."""
        s = self.log_scale.exp()
        return s * (F.softplus(self.location / s) - F.softplus((self.location - 1) / s))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Round a logistic draw to the nearest level."""
        with torch.no_grad():
            u = torch.rand(
                self._extended_shape(torch.Size(sample_shape)),
                dtype=self.location.dtype,
                device=self.location.device,
            )
            x = self.location + self.log_scale.exp() * torch.logit(u, eps=1e-7)
            return (x.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)
