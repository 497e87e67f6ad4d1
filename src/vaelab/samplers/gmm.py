"""A Gaussian mixture as the density of latents."""

import warnings
from typing import Literal

import numpy as np
import torch
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from vaelab.data.source import Split
from vaelab.distributions.seeds import seeded
from vaelab.errors import UsageError
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register
from vaelab.samplers.fitting import draws, location_and_scale, rescaled


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
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if min(len(split), points) < components:
        raise UsageError(
            f"gmm: {components} components need as many images and points, there are {len(split)} and {points}; "
            "lower components"
        )
    with seeded(seed, device_of(model)):
        location, scale = location_and_scale(model, split)
        z = torch.cat(list(draws(model, split, 1000, -(-points // 1000))))[:points]
    z, kind = ((z - location) / scale).cpu().double(), {"full": "full", "diagonal": "diag"}[covariance]
    with warnings.catch_warnings():  # a mixture that has not converged is a density as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GaussianMixture(components, covariance_type=kind, random_state=seed).fit(z.numpy())
    matrices = np.asarray(fitted.covariances_)
    matrices = matrices if covariance == "full" else matrices[:, :, None] * np.eye(matrices.shape[1])
    arrays = fitted.weights_, fitted.means_, np.linalg.cholesky(matrices)
    weights, means, factors = (torch.as_tensor(array).to(location) for array in arrays)
    normals = MultivariateNormal(means, scale_tril=factors, validate_args=False)
    return rescaled(MixtureSameFamily(Categorical(weights), normals, validate_args=False), location, scale)
