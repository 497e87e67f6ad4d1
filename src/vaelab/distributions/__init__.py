"""Densities and samplers that are one object: what torch lacks, and how to draw from any of them."""

import copy
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints


def at_least_float32(t: Tensor) -> Tensor:
    """Densities are computed in float32, or in float64 if that is what comes in; never in what autocast leaves."""
    return t if t.dtype == torch.float64 else t.float()


def diagonal_normal(mean: Tensor, log_std: Tensor) -> Independent:
    """N(mean, diag(exp(log_std)²)) over the last dimension."""
    return Independent(Normal(mean, log_std.exp(), validate_args=False), 1, validate_args=False)


class Pushforward(Distribution):
    """z = f(u) with u ~ base and an invertible f: the transform that `flow(context)` returns."""

    arg_constraints: ClassVar = {}  # pyright: ignore
    has_rsample = True

    def __init__(self, base: Distribution, flow: nn.Module, context: Tensor | None = None) -> None:
        if context is not None and not base.batch_shape:
            base = base.expand(context.shape[:-1])
        self.base, self.flow, self.context, self.transform = base, flow, context, flow(context)
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def draw(self, samples: int) -> tuple[Tensor, Tensor]:
        """See `draw`: log q(z) = log base(u) − log |det ∂f/∂u|, without the inverse."""
        u = self.base.rsample(torch.Size((samples,)))
        z, log_det = self.transform.call_and_ladj(u)
        return z, self.base.log_prob(u) - log_det

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """Reparameterised z [*sample_shape, *batch, D]."""
        return self.transform(self.base.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """z [*sample_shape, *batch, D], also of a base that cannot be reparameterised."""
        with torch.no_grad():
            return self.transform(self.base.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """log base(f⁻¹(z)) + log |det ∂f⁻¹/∂z|."""
        u, log_det = self.transform.inv.call_and_ladj(value)
        return self.base.log_prob(u) + log_det

    def responsibilities(self, value: Tensor) -> Tensor:
        """p(k | z) [..., K], of a base that is a mixture."""
        return self.base.responsibilities(self.transform.inv(value))  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def centre(self) -> Tensor:
        """The image of the base's mean: a point, no expectation."""
        return self.transform(self.base.mean)

    def detached(self) -> "Pushforward":
        """See `detached`."""
        context = None if self.context is None else self.context.detach()
        return Pushforward(detached(self.base), constant_copy(self.flow), context)

    def given(self, y: Tensor) -> "Pushforward":
        """p(z | y), if the base knows classes."""
        return Pushforward(given(self.base, y), self.flow, self.context)


def given(p: Distribution, y: Tensor | None) -> Distribution:
    """p(z | y) of a distribution that knows classes, else p(z)."""
    return p.given(y) if y is not None and hasattr(p, "given") else p  # pyright: ignore[reportAttributeAccessIssue]


def draws_of(p: Distribution, count: int) -> Tensor:
    """So many draws z [count, D] of p(z), or one of each p(z | y) of `count` classes."""
    return p.sample() if p.batch_shape else p.sample(torch.Size((count,)))


def centre(q: Distribution) -> Tensor:
    """The mean; of a pushforward or a hierarchy, which have none in closed form, their own `centre`."""
    return q.mean if has_moments(q) else q.centre  # pyright: ignore[reportAttributeAccessIssue]


def has_moments(q: Distribution) -> bool:
    """Whether mean and variance have a closed form."""
    return not hasattr(q, "centre")


DRAWS = 64  # of a distribution without moments, for these


def moments(q: Distribution, samples: int = DRAWS) -> tuple[Tensor, Tensor]:
    """Mean and variance per dimension; where they have no closed form, those of so many draws."""
    if has_moments(q):
        return q.mean, q.variance
    z = q.sample((samples,))
    return z.mean(0), z.var(0)


def draw(q: Distribution, samples: int) -> tuple[Tensor, Tensor]:
    """Reparameterised z [K, B, D] and log q(z) [K, B] in one call; a flow is never inverted for what it just drew."""
    if hasattr(q, "draw"):
        return q.draw(samples)  # pyright: ignore[reportAttributeAccessIssue]
    z = q.rsample(torch.Size((samples,)))
    return z, q.log_prob(z)


def constant_copy(module: nn.Module) -> nn.Module:
    """The same module with constants for parameters."""
    constants = {id(p): p.detach() for p in module.parameters()}  # what deepcopy takes for their copies
    return copy.deepcopy(module, constants)


def detached(q: Distribution) -> Distribution:
    """The same distribution, as a constant of the parameters that made it."""
    if hasattr(q, "detached"):
        return q.detached()  # pyright: ignore[reportAttributeAccessIssue]
    constant = copy.copy(q)
    for name, value in vars(q).items():
        if isinstance(value, Tensor):
            setattr(constant, name, value.detach())
        elif isinstance(value, Distribution):
            setattr(constant, name, detached(value))
    return constant


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) in closed form, in nats per latent dimension [B, D]; None where there is no such form.

    Of two diagonal normals: ½ (r² + ((μ_q − μ_p) / σ_p)² − 1) − log r, with r = σ_q / σ_p.
    """
    of_q, of_p = (d.base_dist if isinstance(d, Independent) else None for d in (q, p))
    if not (isinstance(of_q, Normal) and isinstance(of_p, Normal)):
        return None
    ratio = of_q.scale / of_p.scale
    return (ratio.square() + ((of_q.loc - of_p.loc) / of_p.scale).square() - 1) / 2 - ratio.log()


class ContinuousBernoulli(Distribution):
    """p(x) ∝ exp(ηx) on [0, 1], with the logit η (Loaiza-Ganem & Cunningham 2019).

    As an exponential family, so that every logit has its exact constant; torch's own class clamps the probability and
    loses mass beyond |η| ≈ 16.
    """

    arg_constraints: ClassVar = {"logits": constraints.real}  # pyright: ignore
    support = constraints.unit_interval  # pyright: ignore

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

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
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


class DiscretisedLogistic(Distribution):
    """A logistic variable rounded to `levels` equal steps of [0, 1]; the end steps take the tails (Kingma et al. 2016).

    P(x) = σ(b) − σ(a) with a, b the standardised edges of the step, so that all levels sum to one exactly.
    """

    arg_constraints: ClassVar = {"location": constraints.real, "log_scale": constraints.real}  # pyright: ignore
    support = constraints.unit_interval  # pyright: ignore

    def __init__(self, location: Tensor, log_scale: Tensor, levels: int = 256) -> None:
        self.location, self.log_scale = torch.broadcast_tensors(location, log_scale)
        self.levels = levels
        super().__init__(self.location.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log σ(b) + log σ(−a) + log(1 − e^(a−b)), which is log(σ(b) − σ(a)) without cancellation."""
        half, precision = 0.5 / (self.levels - 1), torch.exp(-self.log_scale)
        below = (value - half - self.location) * precision
        above = (value + half - self.location) * precision
        log_below = torch.where(value > half, F.logsigmoid(-below), 0.0)
        log_above = torch.where(value < 1 - half, F.logsigmoid(above), 0.0)
        inside = (value > half) & (value < 1 - half)
        width = torch.where(inside, 2 * half * precision, 1.0)
        return log_below + log_above + torch.where(inside, torch.log(-torch.expm1(-width)), 0.0)

    @property
    def mean(self) -> Tensor:
        """∫₀¹ P(X > t) dt of the logistic clipped to [0, 1]; off by half a level at most, as the scale goes to 0."""
        s = self.log_scale.exp()
        return s * (F.softplus(self.location / s) - F.softplus((self.location - 1) / s))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # pyright: ignore
        """Round a logistic draw to the nearest level."""
        with torch.no_grad():
            u = torch.rand(
                self._extended_shape(torch.Size(sample_shape)),
                dtype=self.location.dtype,
                device=self.location.device,
            )
            x = self.location + self.log_scale.exp() * torch.logit(u, eps=1e-7)
            return (x.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)


def kolmogorov_smirnov(x: Tensor, y: Tensor) -> Tensor:
    """sup |F_x − F_y| of the empirical distribution functions of samples [N, D] and [M, D], per dimension [D]."""
    points = torch.cat([x, y]).T.contiguous()
    f_x, f_y = (torch.searchsorted(s.T.contiguous().sort().values, points, right=True) / len(s) for s in (x, y))
    return (f_x - f_y).abs().amax(1)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log of the mean over the first dimension, in float64 on the CPU, since not every device has it."""
    return torch.logsumexp(log_w.cpu().double(), 0) - math.log(len(log_w))
