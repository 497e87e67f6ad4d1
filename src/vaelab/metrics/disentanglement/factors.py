"""Factors as the scores take them: integers that vary."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelab.errors import NotApplicable

FEW = 20  # distinct values up to which a factor is taken as it is


def discretised(factors: ArrayLike, levels: int = 10) -> NDArray:
    """Factors [N, F] as integers from 0; those with more than 20 distinct values in `levels` groups of equal size."""
    return np.stack([_integers(column, levels) for column in np.asarray(factors).T], 1)


def varying(factors: NDArray) -> NDArray:
    """Which of the factors [N, F] have more than one value; NotApplicable where fewer than two have."""
    chosen = (factors != factors[0]).any(0)
    if chosen.sum() < 2:
        raise NotApplicable("disentanglement needs at least two factors that vary over the images of the split")
    return chosen


def _integers(column: NDArray, levels: int) -> NDArray:
    values, integers = np.unique(column, return_inverse=True)
    if len(values) <= FEW:
        return integers
    edges = np.quantile(column, np.linspace(0, 1, levels + 1)[1:-1])
    return np.unique(np.searchsorted(edges, column, side="right"), return_inverse=True)[1]
