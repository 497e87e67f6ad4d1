"""Modularity by hand."""

import numpy as np
import pytest

from vaelab.metrics.disentanglement.modularity import modularity


def test_by_hand(mixed):
    """The code a tells of a only: 1. The code a + b tells as much of both: 0."""
    assert modularity(*mixed) == pytest.approx(0.5)


def test_one_part_in_three_of_the_others():
    """I of z = (a, b, c) is ½ log 2 for a + b of three factors: 1 − (½² + 0) / (½² · 2) = ½."""
    factors = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)] * 50)
    assert modularity(factors[:, :1] + factors[:, 1:2], factors) == pytest.approx(0.5)


def test_codes_that_tell_nothing_are_left_out(mixed):
    codes, factors = mixed
    noise = np.random.default_rng(0).normal(size=(len(codes), 2))
    assert modularity(np.hstack([codes, noise]), factors) == pytest.approx(0.5)
    assert modularity(noise, factors) == 0
    assert modularity(np.zeros_like(codes), factors) == 0
