"""Disentanglement, completeness and informativeness."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vaelab.metrics.disentanglement.drawing import halves


class DCI(NamedTuple):
    """Three scores in [0, 1]."""

    disentanglement: float  # whether a code matters for one factor only
    completeness: float  # whether a factor needs one code only
    informativeness: float  # how often all codes together tell a factor


def dci(codes: ArrayLike, factors: ArrayLike, trees: int = 20, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

    The first two from how much each code matters for each factor to a random forest (decrease of Gini impurity) that is
    fitted on one half of the images; the last is its accuracy on the other half, averaged over factors. Codes [N, D],
    integer factors [N, F].
    """
    from sklearn.ensemble import RandomForestClassifier

    z, v = np.asarray(codes, np.float64), np.asarray(factors)
    fit, judge = halves(len(z), seed)
    importances, accuracies = [], []
    for value in v.T:
        # All codes compete in every split, else those without information would be given importance.
        forest = RandomForestClassifier(trees, max_features=1.0, min_samples_leaf=5, random_state=seed)  # pyright: ignore[reportArgumentType]
        forest.fit(z[fit], value[fit])
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(z[judge], value[judge]))
    table = np.stack(importances, 1)
    return DCI(concentration(table), concentration(table.T), float(np.mean(accuracies)))


def concentration(importances: ArrayLike) -> float:
    """Σ_d ρ_d (1 − H(P_d) / log F) of importances [D, F]: P_d the shares in row d, ρ_d the share of the row in all.

    The disentanglement; of the transposed table, the completeness. 1 if each row has one entry, 0 if each is even.
    """
    table = np.asarray(importances, np.float64)
    table = table[table.sum(1) > 0]
    if not table.size:
        return 0.0
    shares = table / table.sum(1, keepdims=True)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    return float(np.average(1 - entropy / np.log(max(table.shape[1], 2)), weights=table.sum(1)))
