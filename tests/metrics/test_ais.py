"""Annealed importance sampling, on a model whose likelihood is known."""

import pytest
import torch
from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics.ais import AnnealingPath, ais, annealed_weights, hmc, sigmoidal, tuned_steps

STARTS = ("prior", "posterior")


@pytest.fixture
def x(linear_gaussian) -> torch.Tensor:
    return linear_gaussian().images(10).clamp(0, 1).mul(255).round() / 255


@pytest.fixture
def split(x) -> Split:
    return Split((x * 255).round().byte())


def weights(model, x, start: str, temperatures: int, chains: int) -> torch.Tensor:
    """w / p(x) [C, B]."""
    with torch.no_grad():
        path, betas = AnnealingPath.of(model, x, None, start), sigmoidal(temperatures)
        steps = tuned_steps(path, path.draw(50), betas, 3)
        log_w, _ = annealed_weights(path, path.draw(chains), betas, steps, 3)
        return (log_w - model.log_evidence(x)).exp()


@pytest.mark.parametrize("start", STARTS)
def test_weights_are_unbiased(linear_gaussian, agrees, x, start):
    """E w = p(x) also where the annealing is far too quick: that is what fixed kernels and Metropolis guarantee."""
    agrees(weights(linear_gaussian(off=0.4), x, start, temperatures=8, chains=4000), 1.0)


@pytest.mark.parametrize("start", STARTS)
def test_reaches_the_evidence(linear_gaussian, x, split, start):
    """Within three standard errors of the mean weights, and the bias −Var w / 2C of their logarithms."""
    model, chains = linear_gaussian(off=0.4), 100
    scatter = weights(model, x, start, temperatures=50, chains=400).var(0) / chains
    error, bias = scatter.sum().sqrt().item() / len(x), scatter.mean().item() / 2
    assert error < 0.03
    found = ais(model, split, temperatures=50, chains=chains, leapfrog=3, start=start)
    assert abs(found.values["ais"] - model.log_evidence(x).mean().item()) < 3 * error + bias
    assert 0.5 < found.values["ais_acceptance"] < 0.95
    assert found.protocol["images"] == 10


def test_more_temperatures_waste_less(linear_gaussian, x):
    """The variance of the weights falls with them, from the prior, where it is large."""
    few, many = (weights(linear_gaussian(), x, "prior", temperatures=t, chains=500).var(0).mean() for t in (5, 100))
    assert many < few / 4


def test_the_exact_posterior_gives_the_evidence_with_every_chain(linear_gaussian, x):
    """There w = p(x) wherever a chain goes."""
    w = weights(linear_gaussian(), x, "posterior", temperatures=5, chains=3)
    torch.testing.assert_close(w, torch.ones_like(w), rtol=1e-9, atol=0)


def test_hmc_leaves_the_target_alone_and_moves(linear_gaussian, agrees, x):
    """Draws of the exact posterior stay draws of it, in mean and square, with steps so long that many are refused."""
    model = linear_gaussian()
    with torch.no_grad():
        q, path = model.q_z(x), AnnealingPath.of(model, x, None, "prior")
        point = path.at(q.sample((4000,)))
        before = point.z
        for _ in range(3):
            point, accepted = hmc(path, point, 1.0, torch.full((len(x),), 0.6).double(), 3)
        standard = (point.z - q.mean) / q.stddev
    assert 0.05 < accepted.mean() < 0.9
    assert (point.z != before).any(-1).double().mean() > 0.2
    agrees(standard, 0.0)
    agrees(standard.square(), 1.0)
    torch.testing.assert_close(point.log_joint, path.at(point.z).log_joint)  # what it carries belongs to where it is
    torch.testing.assert_close(point.joint_gradient, path.at(point.z).joint_gradient)


def test_a_flight_to_infinity_is_refused(linear_gaussian, x, monkeypatch):
    monkeypatch.setattr(Distribution, "_validate_args", False)  # as vaelab's own distributions: nan, not an error
    model = linear_gaussian()
    with torch.no_grad():
        path = AnnealingPath.of(model, x, None, "prior")
        here = path.at(path.draw(4))
        there, accepted = hmc(path, here, 1.0, torch.full((len(x),), 1e100, dtype=torch.float64), 3)
        assert not path.at(here.z * torch.inf).log_joint.isfinite().any()
    assert torch.equal(there.z, here.z)
    assert (accepted == 0).all()


@pytest.mark.parametrize("temperatures", [1, 2, 5, 200])
def test_temperatures_rise_from_start_to_target(temperatures):
    betas = torch.tensor(sigmoidal(temperatures))
    assert len(betas) == temperatures + 1
    assert (betas[0], betas[-1]) == (0, 1)
    assert (betas.diff() > 0).all()


def test_one_temperature_is_importance_sampling(linear_gaussian, agrees, x):
    agrees(weights(linear_gaussian(off=0.4), x, "posterior", temperatures=1, chains=4000), 1.0)


def test_says_when_chains_hardly_move(linear_gaussian, split, monkeypatch):
    monkeypatch.setattr("vaelab.metrics.ais.ACCEPTANCE", 0.05)
    (note,) = ais(linear_gaussian(), split, temperatures=40, start="prior").notes
    assert "chains hardly moved" in note


def test_a_pseudo_likelihood_is_refused(linear_gaussian, split):
    model = linear_gaussian()
    model.likelihood.scores = "loss"
    with pytest.raises(NotApplicable, match="withholds annealed importance sampling"):
        ais(model, split)


def test_leaves_no_gradients_behind(linear_gaussian, split):
    model = linear_gaussian(off=0.4)
    ais(model, split, temperatures=3)
    assert all(p.grad is None for p in model.parameters())
