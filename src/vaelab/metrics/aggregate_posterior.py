"""log q(z) of the aggregated posterior, the mixture of the posteriors of many images."""

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaelab.distributions.mixture import DiagonalMixture


def diagonal_gaussian(q: Distribution) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of a diagonal Gaussian over the last dimension; None of any other."""
    base = q.base_dist if isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1 else None
    return (base.mean, base.stddev) if isinstance(base, Normal) else None


def log_mixture(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log 1/M Σ_j N(z; mean_j, diag std_j²) [N] of z [N, D] and M components [M, D], in float64 on the CPU."""
    z, mean, std = (t.cpu().double() for t in (z, mean, std))
    return DiagonalMixture(mean, std).log_prob(z)
