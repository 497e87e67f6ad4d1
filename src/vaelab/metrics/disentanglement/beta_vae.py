"""The β-VAE score: a shared factor shows in the differences of pairs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelab.metrics.disentanglement.drawing import companions, halves

PAIRS = 64  # per vote


def beta_vae_score(codes: ArrayLike, factors: ArrayLike, votes: int = 5000, seed: int = 0) -> float:
    """Accuracy of a linear classifier that tells the shared factor from mean |z − z′| over pairs (Higgins et al. 2017).

    A vote is 64 pairs of different images that agree in one factor. Logistic regression is fitted on `votes` of one
    half of the images and judged on as many of the other. Codes [N, D], integer factors [N, F]. Chance is 1/F.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    z, v = np.asarray(codes, np.float64), np.asarray(factors)
    random = np.random.default_rng(seed)
    fit, judge = (_votes(z[half], v[half], votes, random) for half in halves(len(z), seed))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(classifier.fit(*fit).score(*judge))


def _votes(z: NDArray, v: NDArray, votes: int, random: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Mean differences [V, D], and the factors [V] that were shared."""
    each, differences = -(-votes // v.shape[1]), []
    for values in v.T:
        first = random.integers(len(z), size=(each, PAIRS))
        differences.append(np.abs(z[first] - z[companions(values, first, random)]).mean(1))
    return np.concatenate(differences), np.arange(v.shape[1]).repeat(each)
