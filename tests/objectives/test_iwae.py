"""The importance-weighted bound and its doubly reparameterised gradient."""

import pytest
import torch
from torch import Tensor

from vaelab.objectives.elbo import ELBO
from vaelab.objectives.iwae import IWAE


def bounds(model, x: Tensor, samples: int, copies: int) -> Tensor:
    """Independent bounds [copies, B]."""
    with torch.no_grad():
        terms = model(x.repeat(copies, 1, 1, 1), samples=samples)
        return IWAE(samples=samples).bound(terms).unflatten(0, (copies, len(x)))


def test_one_sample_is_the_elbo(linear_gaussian, agrees):
    model = linear_gaussian(off=0.4)
    x = model.images(10)
    terms = model(x)
    torch.testing.assert_close(IWAE(samples=1).bound(terms), ELBO(kl="monte_carlo").bound(terms))
    closed = ELBO(kl="analytic").bound(model(x, samples=20_000)).detach()
    agrees(bounds(model, x, 1, 20_000) - closed, 0.0, errors=4.5 * 2**0.5)  # both sides are drawn


def test_rises_with_the_samples_towards_the_evidence(linear_gaussian):
    model = linear_gaussian(off=0.4)
    x = model.images(10)
    exact = model.log_evidence(x)
    levels = [bounds(model, x, k, 1000) for k in (1, 4, 16, 64)]
    for fewer, more in zip(levels, levels[1:], strict=False):
        rise = (more - fewer).mean(1)  # over images, so that one number per draw remains
        assert rise.mean() > 4.5 * rise.std() / len(rise) ** 0.5
    for level in levels:
        assert (level.mean(0) <= exact + 4.5 * level.std(0) / len(level) ** 0.5).all()
    gaps = [(exact - level.mean(0)).mean() for level in levels]
    assert gaps[-1] < 0.05 * gaps[0]  # the gap falls as 1/K; at K = 64 it is 1/64 of a variance


@torch.no_grad()
def test_is_the_evidence_at_the_exact_posterior(linear_gaussian):
    model = linear_gaussian()
    x = model.images(10)
    torch.testing.assert_close(IWAE().bound(model(x, samples=5)), model.log_evidence(x))


def test_is_the_log_of_the_mean_weight():
    log_w = torch.tensor([[1.0, 900.0], [3.0, 901.0]]).double()  # e^900 is beyond any float
    terms = ELBOTerms(log_w)
    expected = torch.tensor([1.0, 900.0]).double() + ((1 + torch.tensor([2.0, 1.0]).double().exp()) / 2).log()
    torch.testing.assert_close(IWAE(samples=2).bound(terms), expected)


class ELBOTerms:
    """Terms of which only the weights matter."""

    def __init__(self, log_w: Tensor) -> None:
        self.log_w = log_w


def gradients(model, objective: IWAE, x: Tensor, times: int = 0, seed: int = 0) -> dict[str, Tensor]:
    """Gradients [times, P] of the loss, of the encoder and of all else."""
    torch.manual_seed(seed)
    drawn: dict[str, list[Tensor]] = {"encoder": [], "others": []}
    for _ in range(times):
        model.zero_grad()
        objective(model(x, samples=objective.samples, path=objective.path), 0)[0].backward()
        for name, parts in drawn.items():
            mine = [p.grad for n, p in model.named_parameters() if n.startswith("posterior") == (name == "encoder")]
            parts.append(torch.cat([g.flatten() for g in mine]))
    return {name: torch.stack(parts) for name, parts in drawn.items()}


@pytest.fixture
def both(linear_gaussian):
    """Gradients of the plain and of the doubly reparameterised objective, of the same draws."""

    def draw(samples: int, times: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        model = linear_gaussian(off=0.3)
        x = model.images(6)
        return tuple(gradients(model, IWAE(samples=samples, doubly_reparameterised=d), x, times) for d in (False, True))

    return draw


@pytest.mark.parametrize("samples", [1, 8])
def test_doubly_reparameterised_gradient_is_unbiased(both, agrees, samples):
    plain, doubly = both(samples, 800)
    agrees(doubly["encoder"] - plain["encoder"], 0.0)
    assert not torch.allclose(doubly["encoder"], plain["encoder"])  # another estimator, not the same one
    spread = plain["encoder"].mean(0).abs() / (plain["encoder"].std(0) / 800**0.5)
    assert spread.max() > 10  # the expectation is not zero, so that agreement says something


def test_doubly_reparameterised_gradient_scatters_less(both):
    """At K = 64; a ratio of variances from n draws each has a relative error of √(4/n)."""
    times = 300
    plain, doubly = (g["encoder"].var(0).sum() for g in both(64, times))
    assert doubly / plain < 1 - 4.5 * (4 / times) ** 0.5


def test_decoder_and_prior_gradients_are_those_of_the_plain_bound(both):
    """Draw by draw, not only in expectation."""
    plain, doubly = both(8, 5)
    torch.testing.assert_close(doubly["others"], plain["others"])


def test_doubly_reparameterised_gradient_vanishes_at_the_exact_posterior(linear_gaussian):
    """Every weight is the evidence there, so log w does not depend on z: no noise at all, where IWAE's stays."""
    model = linear_gaussian()
    x = model.images(6)
    doubly, plain = (
        gradients(model, IWAE(samples=5, doubly_reparameterised=d), x, 3)["encoder"] for d in (True, False)
    )
    torch.testing.assert_close(doubly, torch.zeros_like(doubly), atol=1e-10, rtol=0)
    assert plain.abs().max() > 1e-3


def test_the_loss_and_the_log_are_the_same_with_either_gradient(linear_gaussian):
    model = linear_gaussian(off=0.3)
    x, results = model.images(6), []
    for doubly in (False, True):
        torch.manual_seed(1)
        objective = IWAE(samples=5, doubly_reparameterised=doubly)
        results.append(objective(model(x, samples=5, path=objective.path), 0)[1])
    for key in results[0]:
        torch.testing.assert_close(results[0][key], results[1][key])


@torch.no_grad()
def test_needs_no_gradient(linear_gaussian):
    model = linear_gaussian(off=0.3)
    loss, _ = IWAE(samples=5, doubly_reparameterised=True)(model(model.images(6), samples=5, path=True), 0)
    assert loss.isfinite()
