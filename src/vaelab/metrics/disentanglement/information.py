"""Mutual information of codes and factors, by counting."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def information(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> NDArray:
    """I(z_d; v_f) in nats [D, F], of codes [N, D] in equally wide bins and integer factors [N, F]."""
    values = np.asarray(factors).T
    return np.array([[mutual_information(code, value) for value in values] for code in binned(codes, bins).T])


def chance(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> NDArray:
    """The information in nats [D, F] that counting finds where there is none (Miller 1955).

    (bins met − 1) (values met − 1) / 2N of independent variables, up to terms of 1/N².
    """
    v = np.asarray(factors)
    bins_met, values_met = ([len(np.unique(column)) for column in table.T] for table in (binned(codes, bins), v))
    return np.outer(np.subtract(bins_met, 1), np.subtract(values_met, 1)) / (2 * len(v))


def entropies(factors: ArrayLike) -> NDArray:
    """H(v_f) = I(v_f; v_f) in nats [F], of integer factors [N, F]."""
    return np.array([mutual_information(value, value) for value in np.asarray(factors).T])


def binned(codes: ArrayLike, bins: int) -> NDArray:
    """Codes [N, D] as numbers of bins between each dimension's extremes; a constant is all in one."""
    z = np.asarray(codes, np.float64)
    width = np.ptp(z, 0)
    share = (z - z.min(0)) / np.where(width > 0, width, 1)
    return np.minimum((share * bins).astype(int), bins - 1)


def mutual_information(a: NDArray, b: NDArray) -> float:
    """Σ p(a, b) log p(a, b) / p(a) p(b) of the counts of two integer variables [N], in nats."""
    a, b = (np.unique(variable, return_inverse=True)[1] for variable in (a, b))
    rows, columns = a.max() + 1, b.max() + 1
    joint = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns) / len(a)
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    met = joint > 0
    return float(np.sum(joint[met] * np.log(joint[met] / independent[met])))
