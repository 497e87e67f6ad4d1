"""What the rate of an ELBO consists of."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaelab.data.source import Split
from vaelab.distributions.latent import rsample_and_log_prob
from vaelab.distributions.mixture import DiagonalMixture
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.metrics.batches import batches, spread
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register

SATURATED = 0.9  # of log M
ABOUT = About(
    "ELBO surgery",
    {
        "rate": Value("Rate", "nats"),
        "mutual_information": Value("Mutual information", "nats"),
        "marginal_kl": Value("KL of the aggregated posterior", "nats"),
        "total_correlation": Value("Total correlation", "nats"),
        "dimension_kl": Value("KL within single dimensions", "nats"),
    },
    quick=True,
)


@register("metric", "elbo_surgery", ABOUT)
@torch.no_grad()
def elbo_surgery(model: VAE, split: Split, *, images: Size = 5000, samples: Size = 1, seed: Seed = 0) -> Measurement:
    """The rate in parts, in nats: information about the image, and distance to the prior (Hoffman & Johnson 2016).

        E KL(q(z | x) ‖ p(z)) = I(n; z) + KL(q(z) ‖ p(z)),    KL(q(z) ‖ p(z)) = TC + Σ_d KL(q(z_d) ‖ p(z_d))

    with the total correlation TC = KL(q(z) ‖ Π_d q(z_d)) (Chen et al. 2018). q(z) is the exact mixture of the
    posteriors of M = `images` images, evenly spaced, and expectations are over `samples` draws from each, so that the
    parts add up to `rate` draw by draw. I(n; z) is about these M images and at most log M. `dimension_kl` needs a prior
    that factorises. Intervals are about their
    expectations at this M. Raises NotApplicable for posteriors other than diagonal Gaussians.
    """
    with seeded(seed, device_of(model)):
        batch = [_encoded(model, x, y, samples) for x, y in batches(model, spread(split, images))]
    z, mean, std, log_qz_x, log_pz = (torch.cat(t, dim=1).cpu().double() for t in zip(*batch, strict=True))
    log_qz = log_mixture(z.flatten(0, 1), mean[0], std[0]).view_as(log_pz)
    dimensions = (t.flatten(0, -2).T[..., None] for t in (z, mean[0], std[0]))  # each [D, …, 1]
    log_product = torch.stack([log_mixture(*one) for one in zip(*dimensions, strict=True)]).sum(0).view_as(log_pz)
    columns = {
        "rate": log_qz_x - log_pz,
        "mutual_information": log_qz_x - log_qz,
        "marginal_kl": log_qz - log_pz,
        "total_correlation": log_qz - log_product,
    }
    if _factorises(model):
        columns["dimension_kl"] = log_product - log_pz
    count = log_pz.shape[1]
    estimator = f"q(z) is the mixture of the posteriors of these {count} images; I(n; z) is at most log {count}"
    means = {name: column.mean(0) for name, column in columns.items()}
    found = Measurement.over_images(means, {"images": count, "estimator": estimator})
    found.notes.extend(_doubts(found.values["mutual_information"], count))
    return found


def _encoded(model: VAE, x: Tensor, y: Tensor | None, samples: int) -> tuple[Tensor, ...]:
    """z [K, B, D], mean and std [1, B, D] of the posterior, log q(z | x) and log p(z) [K, B]."""
    if y is not None and model.p_z(y).batch_shape:
        raise NotApplicable("elbo_surgery sets the aggregated posterior against one prior, and this one sees the class")
    q = model.q_z(x, y)
    gaussian = diagonal_gaussian(q)
    if gaussian is None:
        raise NotApplicable(
            "elbo_surgery scores every z under every posterior, in closed form for diagonal Gaussians only; "
            "train with posterior: gaussian"
        )
    z, log_qz = rsample_and_log_prob(q, samples)
    return z, gaussian[0][None], gaussian[1][None], log_qz, model.p_z(y).log_prob(z)


def _factorises(model: VAE) -> bool:
    """Whether the prior is a product over the dimensions of z."""
    p = model.p_z()
    return isinstance(p, Independent) and not p.base_dist.event_shape


def _doubts(information: float, images: int) -> list[str]:
    """An estimate at its ceiling says nothing about the model."""
    if information < SATURATED * math.log(images) or images == 1:
        return []
    return [
        f"mutual_information {information:.2f} is near its ceiling log {images} = {math.log(images):.2f}: these images "
        "are told apart almost perfectly, so that more of them would raise it and lower marginal_kl"
    ]


def diagonal_gaussian(q: Distribution) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of a diagonal Gaussian over the last dimension; None of any other."""
    base = q.base_dist if isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1 else None
    return (base.mean, base.stddev) if isinstance(base, Normal) else None


def log_mixture(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log 1/M Σ_j N(z; mean_j, diag std_j²) [N] of z [N, D] and M components [M, D], in float64 on the CPU."""
    z, mean, std = (t.cpu().double() for t in (z, mean, std))
    return DiagonalMixture(mean, std).log_prob(z)
