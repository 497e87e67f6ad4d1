"""The mutual information gap by hand."""

import pytest

from vaelab.metrics.disentanglement.mig import gap, mig


def test_by_hand(mixed):
    """I / H is 1 and ½ of the first factor, 0 and ½ of the second; both gaps are ½."""
    assert mig(*mixed) == pytest.approx(0.5)


def test_a_single_code_competes_with_none(mixed):
    codes, factors = mixed
    assert mig(codes[:, 1:], factors) == pytest.approx(0.5)
    assert mig(codes[:, :1], factors) == pytest.approx(0.5)


def test_gap():
    assert gap([[0.9, 0.2], [0.4, 0.5], [0.1, 0.1]]) == pytest.approx((0.5 + 0.3) / 2)
