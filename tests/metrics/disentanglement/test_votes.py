"""How images are drawn by their factors, and the two scores that vote on such draws."""

import numpy as np
import pytest
import torch

from vaelab.metrics.disentanglement.beta_vae import beta_vae_score
from vaelab.metrics.disentanglement.drawing import companions, halves
from vaelab.metrics.disentanglement.factor_vae import factor_vae_score

FACTORS = np.stack(np.meshgrid(*[range(3)] * 3), -1).reshape(-1, 3).repeat(40, 0)  # a, b, c in all combinations


def test_halves_are_disjoint_and_whole():
    fit, judge = halves(11, seed=3)
    assert sorted([*fit, *judge]) == list(range(11))
    assert len(fit) == 5


def test_companions_share_the_value_and_are_any_other_image(agrees):
    values = np.array([4, 9, 4, 4, 9, 0])
    chosen = np.tile(np.arange(6), (3000, 1))
    drawn = companions(values, chosen, np.random.default_rng(0))
    assert (values[drawn] == values[chosen]).all()
    assert (drawn[:, :5] != chosen[:, :5]).all()
    assert (drawn[:, 5] == 5).all()  # alone with its value
    agrees(torch.from_numpy(drawn[:, 0] == 2), 0.5)


def test_a_factor_without_a_code_defeats_factor_vae_not_beta_vae():
    """Of codes a and c: with b fixed neither code is still, so its votes are lost; but both differ, which is a sign."""
    codes = FACTORS[:, [0, 2]].astype(float)
    assert factor_vae_score(codes, FACTORS, 600) == pytest.approx(2 / 3)
    assert beta_vae_score(codes, FACTORS, 600) == 1


def test_one_code_is_the_stillest_of_one():
    assert factor_vae_score(FACTORS[:, :1], FACTORS, 600) == pytest.approx(1 / 3)


def test_no_code_is_chance():
    assert factor_vae_score(np.ones((len(FACTORS), 4)), FACTORS, 600) == pytest.approx(1 / 3)


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_scores_are_functions_of_the_seed(score):
    codes = np.random.default_rng(0).normal(size=FACTORS.shape) + 0.3 * FACTORS
    scores = [score(codes, FACTORS, 300, seed) for seed in (0, 1, 2, 3, 0)]
    assert scores[0] == scores[-1]
    assert len(set(scores)) > 1
