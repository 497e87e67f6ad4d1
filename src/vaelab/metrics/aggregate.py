"""Whether the aggregated posterior is the prior: else samples start where no image was ever encoded."""

import math

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.distributions.estimates import kolmogorov_smirnov
from vaelab.distributions.latent import sample_n
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register

LEVEL = 0.05  # of every test that the notes speak of
NAMED = 5  # dimensions in a note
ABOUT = About(
    "Aggregate",
    {
        "aggregate_mmd": Value("Aggregated posterior to prior, MMD", better="lower"),
        "aggregate_p": Value("Aggregated posterior to prior, p-value"),
        "aggregate_ks": Value("Aggregated posterior to prior, largest KS", "", "lower", "codes against prior", rank=6),
        "aggregate_ks_mean": Value("Aggregated posterior to prior, mean KS", better="lower"),
    },
    quick=True,
    elsewhere={"mmd": "kernel has that of features, aggregate that of latents"},
)


@register("metric", "aggregate", ABOUT)
@torch.no_grad()
def aggregate(
    model: VAE, split: Split, *, points: Size = 2000, permutations: Size = 200, seed: Seed = 0
) -> Measurement:
    """One draw of q(z | x) per image against as many draws of p(z).

    `aggregate_mmd` is the unbiased MMD² of `points` of both (see `mmd`), `aggregate_p` its permutation p-value;
    `aggregate_ks` and `aggregate_ks_mean` are the largest and the mean Kolmogorov–Smirnov distance over dimensions.
    """
    if len(split) < 2:
        raise NotApplicable("the aggregated posterior needs at least two images")
    with seeded(seed, device_of(model)):
        posterior, prior = drawn_from_both(model, split)
        order = torch.randperm(len(posterior))[:points]
        squared, p = mmd(posterior[order], prior[order], permutations)
    distances = kolmogorov_smirnov(posterior, prior)
    limit = critical(len(posterior), len(distances))
    values = {
        "aggregate_mmd": squared,
        "aggregate_p": p,
        "aggregate_ks": distances.max().item(),
        "aggregate_ks_mean": distances.mean().item(),
    }
    protocol = {
        "draws": len(posterior),
        "mmd_draws": len(order),
        "estimator": "unbiased MMD², Gaussian kernel of median bandwidth, labels permuted",
        "ks_limit": limit,  # 5 % over all dimensions together, where nothing differs
    }
    curves = {"aggregate_ks_by_dimension": [(float(d), ks) for d, ks in enumerate(distances.tolist(), 1)]}
    return Measurement(values, protocol=protocol, curves=curves, notes=[verdict(distances, p, limit)])


@torch.no_grad()
def drawn_from_both(model: VAE, split: Split) -> tuple[Tensor, Tensor]:
    """A draw of q(z | x) per image and as many of p(z), of the same classes, float64 [N, D] on the CPU."""
    drawn = [(model.q_z(x, y).sample(), sample_n(model.p_z(y), len(x))) for x, y in batches(model, split)]
    posterior, prior = (torch.cat(column).cpu().double() for column in zip(*drawn, strict=True))
    return posterior, prior


def mmd(x: Tensor, y: Tensor, permutations: int = 200) -> tuple[float, float]:
    """Unbiased MMD² of samples [N, D] and [M, D], and its p-value by permuting labels (Gretton et al. 2012).

    The mean k(a, b) = exp(−‖a − b‖² / 2σ²) within x, pairs of a point with itself left out, plus that within y, less
    twice that between them; it may be negative. σ is the median distance of the pooled points. The p-value is the share
    of labellings that reach the statistic, the true one among them.
    """
    pooled = torch.cat([x, y]).double()
    squared = torch.cdist(pooled, pooled).square_().fill_diagonal_(math.nan)
    kernel = torch.exp(-squared / (2 * squared.nanmedian()).clamp(min=1e-300)).fill_diagonal_(0)
    n, m = len(x), len(y)
    ranks = torch.rand(permutations + 1, n + m).argsort(1)
    ranks[0] = torch.arange(n + m)
    first = (ranks < n).double().T  # [N + M, permutations + 1], which points are called x
    within_x = (first * (kernel @ first)).sum(0)
    between = kernel.sum(0) @ first - within_x
    within_y = kernel.sum() - within_x - 2 * between
    statistic = within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
    return statistic[0].item(), (statistic >= statistic[0]).double().mean().item()


def critical(count: int, dimensions: int) -> float:
    """What the largest distance between two samples of `count` exceeds by chance in 5 % of cases or fewer."""
    return math.sqrt(math.log(2 * dimensions / LEVEL) / count)


def verdict(distances: Tensor, p: float, limit: float) -> str:
    """In words: whether the two differ, where most, and what helps."""
    worst = [d for d in distances.argsort(descending=True)[:NAMED].tolist() if distances[d] > limit]
    if p > LEVEL and not worst:
        return "the aggregated posterior and the prior cannot be told apart by these draws"
    where = ", ".join(f"z{d + 1} (KS {distances[d]:.2f})" for d in worst)
    return (
        f"the aggregated posterior is not the prior: they differ {f'most in {where}' if worst else 'jointly'}, "
        f"p = {p:.2g} of all dimensions together; samples from the prior may start where no image was encoded, "
        "try the sampler gmm"
    )
