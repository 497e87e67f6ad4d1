"""The mutual information gap."""

import numpy as np
from numpy.typing import ArrayLike

from vaelab.metrics.disentanglement.information import entropies, information


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Mean over factors of (I(z_a; v) − I(z_b; v)) / H(v), z_a and z_b telling most of v (Chen et al. 2018).

    Codes [N, D] in equally wide bins, varying integer factors [N, F]; in [0, 1]. Of a single code, I(z_b; v) is 0.
    """
    shares = information(codes, factors, bins) / entropies(factors)
    return gap(shares)


def gap(scores: ArrayLike) -> float:
    """Mean over factors of the best code's score less the second best's; scores [D, F]."""
    table = np.asarray(scores)
    second, best = np.sort(np.vstack([np.zeros_like(table[:1]), table]), axis=0)[-2:]
    return float(np.mean(best - second))
