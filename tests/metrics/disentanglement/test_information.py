"""Mutual information, against sums worked out by hand."""

import math

import numpy as np
import pytest
import torch

from vaelab.metrics.disentanglement.information import binned, chance, entropies, information, mutual_information

LOG2 = math.log(2)


def test_half_of_a_sum_is_known(mixed):
    """H(a + b) = 1½ log 2, and log 2 of it remains when a is known."""
    np.testing.assert_allclose(information(*mixed), [[LOG2, 0], [LOG2 / 2, LOG2 / 2]], atol=1e-12)
    np.testing.assert_allclose(entropies(mixed[1]), [LOG2, LOG2])


def test_a_channel_that_errs_once_in_four():
    """log 2 − H(¼)."""
    sent, received = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    expected = LOG2 + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert mutual_information(sent, received) == pytest.approx(expected)
    assert mutual_information(received, sent) == pytest.approx(expected)


def test_bins_are_equally_wide_and_hold_both_ends():
    codes = np.array([[0.0, 5], [0.1, 5], [0.3, 5], [0.5, 5], [1.0, 5]])
    assert binned(codes, 4).T.tolist() == [[0, 0, 1, 2, 3], [0, 0, 0, 0, 0]]


def test_chance_is_what_independent_variables_show(agrees):
    random, shape = np.random.default_rng(0), (2000, 1)
    pairs = [(random.uniform(size=shape), random.integers(0, 5, shape)) for _ in range(50)]
    shown = [information(*pair).item() - chance(*pair).item() for pair in pairs]
    assert chance(*pairs[0]).item() == 19 * 4 / 4000
    # The expansion's next term is of the order of 1/N².
    agrees(torch.tensor(shown), 0.0, precision=1e-4)
