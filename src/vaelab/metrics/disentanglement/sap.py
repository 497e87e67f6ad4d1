"""The separated attribute predictability."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelab.metrics.disentanglement.drawing import halves
from vaelab.metrics.disentanglement.mig import gap


def sap(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> float:
    """Mean over factors of the gap between the two codes that predict it best (Kumar et al. 2018).

    A code predicts a factor of K values by K − 1 thresholds (a decision tree on this code alone, fitted on one half of
    the images); its score is the balanced accuracy on the other half, as (accuracy − 1/K) / (1 − 1/K), so that a
    perfect code reaches 1, where the paper's own scale ends at 1 − 1/K. Codes [N, D], integer factors [N, F].
    """
    z, v = np.asarray(codes, np.float64), np.asarray(factors)
    fit, judge = halves(len(z), seed)
    return gap([[predictability(code, value, fit, judge) for value in v.T] for code in z.T])


def predictability(code: NDArray, value: NDArray, fit: NDArray, judge: NDArray) -> float:
    """How well K − 1 thresholds, fitted on some images, tell the factor of others: 0 is chance, 1 always right."""
    from sklearn.tree import DecisionTreeClassifier

    count = len(np.unique(value))
    tree = DecisionTreeClassifier(max_leaf_nodes=count, class_weight="balanced", random_state=0)
    right = tree.fit(code[fit, None], value[fit]).predict(code[judge, None]) == value[judge]
    accuracy = np.mean([right[value[judge] == k].mean() for k in np.unique(value[judge])])
    return float(accuracy - 1 / count) / (1 - 1 / count)
