"""Images drawn by their factors, as a generator with known factors would draw them."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


def halves(count: int, seed: int) -> tuple[NDArray, NDArray]:
    """Two disjoint halves of the numbers below `count`: one to fit on, one to judge on."""
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def companions(values: NDArray, chosen: NDArray, random: Generator) -> NDArray:
    """For each chosen image, another one with the same value of a factor [N]; itself where it is alone."""
    order = np.argsort(values, kind="stable")
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    start, size = starts[group[chosen]], counts[group[chosen]]
    steps = 1 + (random.random(chosen.shape) * (size - 1)).astype(int)
    return order[start + (rank[chosen] - start + steps) % size]
