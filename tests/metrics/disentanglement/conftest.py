"""A toy whose every score can be worked out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def mixed() -> tuple[NDArray, NDArray]:
    """Binary factors a, b in all four combinations equally often; the codes are a and a + b."""
    factors = np.array([(0, 0), (0, 1), (1, 0), (1, 1)] * 100)
    return np.stack([factors[:, 0], factors.sum(1)], 1).astype(float), factors
