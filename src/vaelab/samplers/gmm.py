"""A Gaussian mixture as the density of latents."""

import warnings
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from vaelab.data.source import Split
from vaelab.distributions.seeds import seeded
from vaelab.errors import UsageError
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register
from vaelab.samplers.latents import draws, location_and_scale, rescaled


@register("sampler", "gmm")
def gmm(
    model: VAE,
    split: Split,
    *,
    components: Size = 10,
    covariance: Literal["full", "diagonal"] = "full",
    points: Size = 20_000,
    seed: Seed = 0,
) -> Distribution:
    """z ~ Σ_k π_k N(μ_k, Σ_k), fitted by EM to `points` posterior draws of random images (Ghosh et al. 2020).

    Raises UsageError for more components than images.
    """
    if min(len(split), points) < components:
        raise UsageError(
            f"gmm: {components} components need as many images and points, there are {len(split)} and {points}; "
            "lower components"
        )
    with seeded(seed, device_of(model)):
        location, scale = location_and_scale(model, split)
        z = torch.cat(list(draws(model, split, 1000, -(-points // 1000))))[:points]
    mixture = _fitted((z - location) / scale, components, covariance, seed)
    factors = np.linalg.cholesky(_matrices(mixture))
    weights, means, factors = (torch.as_tensor(a).to(location) for a in (mixture.weights_, mixture.means_, factors))
    normals = MultivariateNormal(means, scale_tril=factors, validate_args=False)
    return rescaled(MixtureSameFamily(Categorical(weights), normals, validate_args=False), location, scale)


def _fitted(z: Tensor, components: int, covariance: str, seed: int) -> Any:
    """scikit-learn's mixture; one that has not converged is a density as well, so that needs no warning."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    kind = {"full": "full", "diagonal": "diag"}[covariance]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(components, covariance_type=kind, random_state=seed).fit(z.cpu().double().numpy())


def _matrices(mixture: Any) -> np.ndarray:
    """Covariances [K, D, D] of either kind."""
    kept = mixture.covariances_
    return kept if kept.ndim == 3 else kept[:, :, None] * np.eye(kept.shape[1])
