"""log q(z) of the aggregated posterior, the mixture of the posteriors of many images."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

PAIRS = 2**17  # densities that are held at once: what a CPU's cache holds


def diagonal_gaussian(q: Distribution) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of a diagonal Gaussian over the last dimension; None of any other."""
    base = q.base_dist if isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1 else None
    return (base.mean, base.stddev) if isinstance(base, Normal) else None


def log_mixture(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log 1/M Σ_j N(z; mean_j, diag std_j²) [N] of z [N, D] and M components [M, D], in float64 on the CPU.

    The square is expanded, log N = z² · a_j + z · b_j + c_j, so that all pairs are one matrix product and no
    [N, M, D] is made; centred and in float64, since in float32 the cancellation costs up to 100 nats.
    """
    z, mean, std = (t.cpu().double() for t in (z, mean, std))
    centre, precision = mean.mean(0), std.pow(-2)
    z, mean = z - centre, mean - centre
    constant = -(mean.square() * precision / 2 + std.log() + math.log(2 * math.pi) / 2).sum(-1)
    weights = torch.cat([-precision / 2, mean * precision, constant[:, None]], dim=-1).T
    pieces = torch.cat([z.square(), z, torch.ones_like(z[:, :1])], dim=-1).split(max(1, PAIRS // len(mean)))
    return torch.cat([(piece @ weights).logsumexp(1) for piece in pieces]) - math.log(len(mean))
