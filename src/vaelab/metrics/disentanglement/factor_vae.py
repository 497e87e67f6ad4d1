"""The FactorVAE score: a fixed factor shows in the code that varies least."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelab.metrics.disentanglement.drawing import companions, halves

BATCH = 64  # images per vote


def factor_vae_score(codes: ArrayLike, factors: ArrayLike, votes: int = 5000, seed: int = 0) -> float:
    """Accuracy of telling the fixed factor from argmin_d Var(z_d) / Var over all images (Kim & Mnih 2018).

    A vote is a batch of images with one value of one factor, drawn independently, as a generator draws; repetitions
    shrink all variances alike. The majority decides on one half of the images what a code stands for, `votes` batches
    of the other half are judged. Codes [N, D] without variance are left out. Chance is 1/F.
    """
    z, v = np.asarray(codes, np.float64), np.asarray(factors)
    varying = z[:, np.ptp(z, 0) > 0]
    if not varying.size:
        return 1 / v.shape[1]
    z, random = varying / varying.std(0), np.random.default_rng(seed)
    fitted, judged = (_votes(z[half], v[half], votes, random) for half in halves(len(z), seed))
    return float(judged[np.arange(len(judged)), fitted.argmax(1)].sum() / judged.sum())


def _votes(z: NDArray, v: NDArray, votes: int, random: np.random.Generator) -> NDArray:
    """How often each code varied least when each factor was fixed [D, F]."""
    table = np.zeros((z.shape[1], v.shape[1]), int)
    for factor, values in enumerate(v.T):
        first = random.integers(len(z), size=(-(-votes // v.shape[1]), 1))
        batch = companions(values, first.repeat(BATCH, 1), random)
        table[:, factor] = np.bincount(z[batch].var(1).argmin(1), minlength=len(table))
    return table
