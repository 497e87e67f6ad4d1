"""Whether each code tells of one factor only."""

import numpy as np
from numpy.typing import ArrayLike

from vaelab.metrics.disentanglement.information import chance, information


def modularity(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Mean over codes of 1 − Σ_{f ≠ best} I(z; v_f)² / ((F − 1) I(z; v_best)²) (Ridgeway & Mozer 2018).

    Codes [N, D] in equally wide bins, at least two integer factors [N, F]; in [0, 1]. A code that tells of no factor
    twice what counting finds by chance has no best one and is left out; 0 where none is left.
    """
    known = information(codes, factors, bins)
    squares = known[(known > 2 * chance(codes, factors, bins)).any(1)] ** 2
    if not len(squares):
        return 0.0
    best = squares.max(1)
    return float(np.mean(1 - (squares.sum(1) - best) / (best * (squares.shape[1] - 1))))
