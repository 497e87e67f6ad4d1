"""The evidence lower bound: its two estimates, its weights and its constraints."""

import pytest
import torch
from torch import Tensor

from vaelab.errors import UsageError
from vaelab.objectives.elbo import ELBO
from vaelab.registry.schema import build
from vaelab.roles import Terms
from vaelab.schedules import Constant, Linear

K, B, D = 3, 5, 4


@pytest.fixture
def terms() -> Terms:
    """Terms of a model that needs gradients in each of them."""
    log_px, log_pz, log_qz = torch.randn(3, K, B).double().requires_grad_() - 5
    return Terms(log_px, log_pz, log_qz, torch.rand(B, D).double().requires_grad_(), torch.randn(K, B, D))


def gradient_of_kl(objective: ELBO, terms: Terms, step=0) -> Tensor:
    return torch.autograd.grad(objective(terms, step)[0], terms.kl)[0]


@torch.no_grad()
def test_closed_form_and_draws_agree_in_expectation(linear_gaussian, agrees):
    model = linear_gaussian(off=0.4)
    x = model.images(10)
    terms = model(x, samples=20_000)
    rates = [(terms.log_qz - terms.log_pz), terms.kl.sum(-1).expand(20_000, -1)]
    agrees(rates[0] - rates[1], 0.0)
    closed, drawn = (ELBO(kl=kl).bound(terms) for kl in ("analytic", "monte_carlo"))
    torch.testing.assert_close(closed, terms.log_px.mean(0) - terms.kl.sum(-1))
    torch.testing.assert_close(drawn, terms.log_w.mean(0))
    torch.testing.assert_close(ELBO().bound(terms), closed)


@torch.no_grad()
def test_by_draws_each_draw_is_the_evidence_at_the_exact_posterior(linear_gaussian):
    """log p(x, z) − log q(z | x) = log p(x) for every z, without any Monte Carlo error."""
    model = linear_gaussian()
    x = model.images(10)
    torch.testing.assert_close(ELBO(kl="monte_carlo").bound(model(x)), model.log_evidence(x))


def test_without_a_closed_form_auto_uses_the_draws(terms):
    bare = terms._replace(kl=None)
    torch.testing.assert_close(ELBO().bound(bare), ELBO(kl="monte_carlo").bound(terms))
    for objective in (ELBO(kl="analytic"), ELBO(free_bits=0.1)):
        with pytest.raises(ValueError, match=r"closed-form KL.*monte_carlo"):
            objective(bare, 0)


@pytest.mark.parametrize("beta", [0.0, 0.25, 4.0])
def test_beta_weighs_the_kl_and_is_logged_as_applied(terms, beta):
    loss, scalars = ELBO(beta=Constant(value=beta))(terms, 0)
    torch.testing.assert_close(loss, -terms.log_px.mean() + beta * terms.kl.sum(-1).mean())
    assert scalars["beta"] == beta
    torch.testing.assert_close(scalars["kl"], terms.kl.sum(-1).mean())


@pytest.mark.parametrize("step", [0, 3, 10, 25])
def test_the_logged_beta_is_the_weight_in_the_gradient(terms, step):
    objective = ELBO(beta=Linear(start=0.1, end=0.7, steps=20))
    for at in (step, torch.tensor(float(step)).double()):
        _, scalars = objective(terms, at)
        applied = gradient_of_kl(objective, terms, at) * B
        torch.testing.assert_close(applied, torch.full_like(applied, float(scalars["beta"])))
        assert float(scalars["beta"]) == pytest.approx(0.1 + 0.6 * min(step / 20, 1))


@pytest.mark.parametrize(
    "constraint", [{"free_bits": 2.0}, {"free_nats": 64.0}, {"capacity": Constant(value=3.0)}], ids=str
)
def test_the_bound_ignores_weights_and_constraints(terms, constraint):
    """Models are compared by the same number, whatever they were trained with."""
    weighted = ELBO(beta=Constant(value=4), reduction="mean", pixels=7, **constraint)
    torch.testing.assert_close(weighted.bound(terms), ELBO().bound(terms))


def test_free_bits_are_per_dimension_of_the_batch_mean(terms):
    kl = terms.kl.detach().clone()
    kl[:, 0], kl[:, 1] = torch.tensor([0.0, 0.9, 0.0, 0.0, 0.0]), torch.tensor([0.9, 0.9, 0.0, 0.9, 0.9])
    kl[:, 2], kl[:, 3] = 0.0, 2.0
    terms = terms._replace(kl=kl.requires_grad_())
    objective = ELBO(free_bits=0.5)
    loss, scalars = objective(terms, 0)
    # Means per dimension 0.18, 0.72, 0, 2, of which those below 0.5 count 0.5.
    torch.testing.assert_close(loss, -terms.log_px.mean() + 0.5 + 0.72 + 0.5 + 2.0)
    torch.testing.assert_close(scalars["kl"], torch.tensor(2.9).double())
    free = gradient_of_kl(objective, terms)
    torch.testing.assert_close(free, torch.tensor([0.0, 0.2, 0.0, 0.2]).double().expand(B, D))


def test_free_nats_are_a_hinge_on_the_whole_kl_of_the_batch_mean(terms):
    """Images below and above λ count together: their mean is what is free or not."""
    kl = torch.zeros(B, D).double()
    kl[:, 0], kl[0, 1] = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]), 5.0
    terms = terms._replace(kl=kl.requires_grad_())  # 3 nats in the mean
    for free, penalty, weight in [(2.0, 3.0, 1.0), (3.5, 3.5, 0.0), (64.0, 64.0, 0.0)]:
        objective = ELBO(free_nats=free, beta=Constant(value=0.5))
        loss, scalars = objective(terms, 0)
        torch.testing.assert_close(loss, -terms.log_px.mean() + 0.5 * penalty)
        torch.testing.assert_close(scalars["kl"], torch.tensor(3.0).double())  # what is logged is the KL itself
        applied = gradient_of_kl(objective, terms)
        torch.testing.assert_close(applied, torch.full_like(applied, 0.5 * weight / B))


def test_free_nats_need_no_closed_form(terms):
    bare = terms._replace(kl=None, log_pz=terms.log_qz.detach() - 3.0)
    loss, scalars = ELBO(free_nats=10.0)(bare, 0)
    torch.testing.assert_close(loss, -terms.log_px.mean() + 10.0)
    torch.testing.assert_close(scalars["kl"], torch.tensor(3.0).double())
    [gradient] = torch.autograd.grad(loss, terms.log_qz, allow_unused=True)
    assert gradient is None or (gradient == 0).all()


@pytest.mark.parametrize(
    "options",
    [{"free_bits": 0.5}, {"capacity": 3.0}, {"free_bits": 0.5, "capacity": 3.0}, {"level_nats": 1.0}],
    ids=str,
)
def test_free_nats_are_exclusive(options):
    with pytest.raises(UsageError, match=r"free_bits, free_nats, level_nats and capacity .* give one of them"):
        build("objective", {"kind": "elbo", "free_nats": 64.0, **options})


def test_capacity_pulls_the_kl_to_a_moving_target(terms):
    objective = ELBO(beta=Constant(value=10.0), capacity=Linear(start=0, end=25, steps=100))
    kl = terms.kl.sum(-1).mean()
    for step, target in [(0, 0.0), (50, 12.5), (100, 25.0), (500, 25.0)]:
        torch.testing.assert_close(objective(terms, step)[0], -terms.log_px.mean() + 10 * (kl - target).abs())
    assert (gradient_of_kl(objective, terms, 0) > 0).all()
    assert (gradient_of_kl(objective, terms, 100) < 0).all()


@pytest.mark.parametrize(
    "options",
    [{}, {"beta": Constant(value=0.3)}, {"free_bits": 0.5}, {"free_nats": 1.0}, {"capacity": Constant(value=3.0)}],
    ids=str,
)
def test_mean_reduction_divides_both_terms_by_the_pixels(terms, options):
    whole, parts = ELBO(pixels=784, **options), ELBO(pixels=784, reduction="mean", **options)
    (loss, scalars), (small, same) = whole(terms, 0), parts(terms, 0)
    torch.testing.assert_close(small, loss / 784)
    torch.testing.assert_close(same["reconstruction"], scalars["reconstruction"])
    torch.testing.assert_close(same["kl"], scalars["kl"])
    large, little = (torch.autograd.grad(v, (terms.log_px, terms.kl)) for v in (loss, small))
    for a, b in zip(large, little, strict=True):
        torch.testing.assert_close(b, a / 784)


def test_free_bits_need_a_closed_form():
    with pytest.raises(UsageError, match="objective: free_bits are counted per latent dimension"):
        build("objective", {"kind": "elbo", "free_bits": 0.5, "kl": "monte_carlo"})
    build("objective", {"kind": "elbo", "free_bits": 0.0, "kl": "monte_carlo"})


def test_settles_when_its_last_schedule_does():
    """A warm-up longer than the run is refused by this."""
    assert ELBO().settled == 0
    assert ELBO(beta=Linear(steps=30, delay_steps=5)).settled == 35
    assert ELBO(beta=Linear(steps=30), capacity=Linear(steps=70)).settled == 70
    beta = {"kind": "linear", "epochs": 3}
    assert build("objective", {"kind": "elbo", "beta": beta}, steps_per_epoch=11).settled == 33


def test_a_number_is_a_beta():
    assert build("objective", {"kind": "elbo", "beta": 4}).beta == Constant(value=4.0)
