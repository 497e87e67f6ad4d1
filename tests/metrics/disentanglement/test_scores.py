"""Laws of all disentanglement scores: a perfect code reaches 1, a random one chance; names and signs do not matter."""

import math

import numpy as np
import pytest
import torch

from vaelab.metrics.disentanglement.beta_vae import beta_vae_score
from vaelab.metrics.disentanglement.dci import dci
from vaelab.metrics.disentanglement.factor_vae import factor_vae_score
from vaelab.metrics.disentanglement.mig import mig
from vaelab.metrics.disentanglement.modularity import modularity
from vaelab.metrics.disentanglement.sap import sap

VOTES = 600
SCORES = {
    "mig": lambda z, v, seed=0: mig(z, v),
    "sap": lambda z, v, seed=0: sap(z, v, seed),
    "dci_disentanglement": lambda z, v, seed=0: dci(z, v, 10, seed).disentanglement,
    "dci_completeness": lambda z, v, seed=0: dci(z, v, 10, seed).completeness,
    "dci_informativeness": lambda z, v, seed=0: dci(z, v, 10, seed).informativeness,
    "modularity": lambda z, v, seed=0: modularity(z, v),
    "factor_vae": lambda z, v, seed=0: factor_vae_score(z, v, VOTES, seed),
    "beta_vae": lambda z, v, seed=0: beta_vae_score(z, v, VOTES, seed),
}
FACTORS = np.stack(np.meshgrid(range(3), range(4), range(5)), -1).reshape(-1, 3).repeat(20, 0)  # [1200, 3], independent
CHANCE = {"dci_informativeness": (1 / 3 + 1 / 4 + 1 / 5) / 3, "factor_vae": 1 / 3, "beta_vae": 1 / 3}


@pytest.mark.parametrize("name", SCORES)
def test_a_perfect_code_reaches_one(name):
    """Also with a constant code beside, and each code in a unit of its own."""
    codes = np.hstack([FACTORS * [1.0, -0.01, 100.0], np.full((len(FACTORS), 1), 7.0)])
    # The second best code of SAP is right by chance, ± 1 / √(600 (K − 1)) for K values.
    assert SCORES[name](codes, FACTORS) == pytest.approx(1, abs=4.5 / math.sqrt(1200) if name == "sap" else 1e-9)


@pytest.mark.parametrize("name", ["dci_informativeness", "factor_vae", "beta_vae"])
def test_accuracies_of_random_codes_are_chance(name, agrees):
    random = np.random.default_rng(0)
    drawn = [SCORES[name](random.normal(size=(1200, 3)), FACTORS, seed) for seed in range(16)]
    agrees(torch.tensor(drawn), CHANCE[name])


@pytest.mark.parametrize("name", ["mig", "sap", "dci_disentanglement", "dci_completeness", "modularity"])
def test_other_scores_of_random_codes_vanish(name):
    """The largest gap is that of MIG and SAP, a few times 1/√N."""
    codes = np.random.default_rng(0).normal(size=(1200, 3))
    assert SCORES[name](codes, FACTORS) < 4.5 / math.sqrt(1200)


@pytest.mark.parametrize("name", SCORES)
def test_order_sign_and_names_do_not_matter(name, agrees):
    """Where a forest or a solver breaks ties by the order of codes, on average over seeds."""
    random = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.3, 0.0], [0.0, 1.0, 0.4], [0.2, 0.0, 1.0]])
    codes = FACTORS @ mixing + 0.3 * random.normal(size=FACTORS.shape)
    other_codes = codes[:, [2, 0, 1]] * [1, -1, -1]
    renamed = np.stack([np.array([7, 3, 9, 0, 5])[column] for column in FACTORS.T], 1)
    seeds = range(6)
    differences = [SCORES[name](other_codes, renamed, s) - SCORES[name](codes, FACTORS, s) for s in seeds]
    agrees(torch.tensor(differences), 0.0)
