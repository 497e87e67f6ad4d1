"""Disentanglement, completeness and informativeness by hand."""

import math

import numpy as np
import pytest

from vaelab.metrics.disentanglement.dci import concentration, dci

TABLE = np.array([[1.0, 0.0], [0.5, 0.5]])


def test_disentanglement_by_hand():
    """A row with one entry, a row with two alike, of the same weight."""
    assert concentration(TABLE) == pytest.approx(0.5)


def test_completeness_by_hand():
    """Columns with shares (⅔, ⅓) and (0, 1), of weights ¾ and ¼."""
    entropy = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert concentration(TABLE.T) == pytest.approx(0.75 * (1 - entropy) + 0.25)


def test_units_and_codes_that_do_not_matter_change_nothing():
    assert concentration(np.vstack([7 * TABLE, np.zeros(2)])) == pytest.approx(0.5)
    assert concentration(np.zeros((2, 2))) == 0


def test_a_code_that_mixes_two_factors(mixed):
    """a + b alone tells each factor ¾ of the time, matters for both alike, and is all there is."""
    codes, factors = mixed
    scores = dci(codes[:, 1:], factors, trees=5)
    assert scores.disentanglement == pytest.approx(0)
    assert scores.completeness == pytest.approx(1)
    assert scores.informativeness == pytest.approx(0.75, abs=4.5 * math.sqrt(0.25 * 0.75 / 400))
    assert dci(codes, factors, trees=5).informativeness == 1
