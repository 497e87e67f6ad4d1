"""The separated attribute predictability by hand."""

import numpy as np
import pytest

from vaelab.metrics.disentanglement.sap import predictability


def test_by_hand(mixed):
    """One threshold on a + b is right ¾ of the time, which is half way from chance to certainty."""
    codes, factors = mixed
    every = np.arange(len(codes))
    scores = [[predictability(code, value, every, every) for value in factors.T] for code in codes.T]
    np.testing.assert_allclose(scores, [[1, 0], [0.5, 0.5]])


def test_rare_values_count_as_much():
    """Always saying 0 is right in 90 % of the images, and no better than chance."""
    value, every = np.arange(100) % 10 == 0, np.arange(100)
    assert predictability(np.zeros(100), value.astype(int), every, every) == pytest.approx(0)


def test_a_factor_of_many_values_takes_as_many_thresholds():
    value, every = np.arange(100) % 10, np.arange(100)
    assert predictability(-3.0 * value, value, every, every) == pytest.approx(1)
