"""The diagonal normal, in at least float32, and its KL."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal


def at_least_float32(t: Tensor) -> Tensor:
    """Densities are computed in float32, or in float64 if that is what comes in; never in what autocast leaves."""
    return t if t.dtype == torch.float64 else t.float()


def diagonal_normal(mean: Tensor, log_std: Tensor) -> Independent:
    """N(mean, diag(exp(log_std)²)) over the last dimension."""
    return Independent(Normal(mean, log_std.exp(), validate_args=False), 1, validate_args=False)


def normal_of(p: Distribution) -> Normal | None:
    """The normal of each dimension of a diagonal one; None of any other distribution."""
    return p.base_dist if isinstance(p, Independent) and isinstance(p.base_dist, Normal) else None


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) in closed form, in nats per latent dimension [B, D]; None where there is no such form.

    Of two diagonal normals: ½ (r² + ((μ_q − μ_p) / σ_p)² − 1) − log r, with r = σ_q / σ_p.
    """
    of_q, of_p = normal_of(q), normal_of(p)
    if of_q is None or of_p is None:
        return None
    ratio = of_q.scale / of_p.scale
    return (ratio.square() + ((of_q.loc - of_p.loc) / of_p.scale).square() - 1) / 2 - ratio.log()
