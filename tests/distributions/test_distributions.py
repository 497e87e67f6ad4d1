"""Densities against brute force in many digits, at parameters where naive formulas break."""

import math

import mpmath
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Laplace, Normal

from vaelab.distributions.estimates import log_mean_exp
from vaelab.distributions.latent import detached, rsample_and_log_prob
from vaelab.distributions.normal import diagonal_normal, kl_per_dimension
from vaelab.distributions.pixels import ContinuousBernoulli, DiscretisedLogistic
from vaelab.roles import Latent

mpmath.mp.dps = 60
LOGITS = [0.0, 1e-8, 1e-3, 0.05, 0.19, 0.2, 0.21, 1.0, 5.0, 30.0, 300.0, 2000.0]
SIGNED = [s * a for a in LOGITS for s in (1, -1)]
PRECISE = {torch.float32: 1e-6, torch.float64: 1e-11}  # of numbers of the size of the logits


def real(values: object) -> Tensor:
    """Numbers in float64, never rounded to float32 on the way."""
    return torch.tensor(values, dtype=torch.float64)


def exact_continuous_bernoulli(logit: float, x: float) -> tuple[float, float]:
    """Log-density and mean from the definition p(x) = e^(ηx) / ∫₀¹ e^(ηt) dt, in 60 digits."""
    if logit == 0:
        return 0.0, 0.5
    eta = mpmath.mpf(logit)
    integral = (mpmath.exp(eta) - 1) / eta
    mean = ((eta - 1) * mpmath.exp(eta) + 1) / eta**2 / integral
    return float(eta * mpmath.mpf(x) - mpmath.log(integral)), float(mean)


@pytest.mark.parametrize("dtype", PRECISE, ids=str)
def test_continuous_bernoulli_is_exact_at_every_logit(dtype):
    logits, x = torch.tensor(SIGNED, dtype=dtype), torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=dtype)[:, None]
    exact = [[exact_continuous_bernoulli(eta, v)[0] for eta in logits.tolist()] for v in x.flatten().tolist()]
    gap = ContinuousBernoulli(logits).log_prob(x).double() - real(exact)
    assert (gap.abs() <= PRECISE[dtype] * (1 + logits.abs())).all()


@pytest.mark.parametrize("dtype", PRECISE, ids=str)
def test_continuous_bernoulli_mean(dtype):
    logits = torch.tensor(SIGNED, dtype=dtype)
    exact = real([exact_continuous_bernoulli(eta, 0)[1] for eta in logits.tolist()])
    # coth a − 1/a cancels, at worst where its series takes over: numbers of size 10 with a difference of 0.03;
    # the series itself leaves out 2a⁵/945.
    allowed = 10 * torch.finfo(dtype).eps + 2 * 0.1**5 / 945
    assert (ContinuousBernoulli(logits).mean.double() - exact).abs().max() <= allowed


def test_continuous_bernoulli_gradient_is_value_minus_mean():
    logits = real(SIGNED).requires_grad_()
    for value in (0.0, 0.3, 1.0):
        p = ContinuousBernoulli(logits)
        gradient = torch.autograd.grad(p.log_prob(real(value)).sum(), logits)[0]
        torch.testing.assert_close(gradient, value - p.mean.detach(), atol=1e-7, rtol=0)


def test_continuous_bernoulli_samples_follow_its_distribution_function(agrees):
    """F(X) is uniform: its mean is 1/2 and its mean square 1/3."""
    logits = real([-2000.0, -30.0, -0.5, -1e-4, 0.0, 1e-4, 0.5, 30.0, 2000.0])
    x = ContinuousBernoulli(logits).sample((20_000,))
    assert ((x >= 0) & (x <= 1)).all()
    safe = torch.where(logits == 0, 1.0, logits)
    uniform = torch.where(logits == 0, x, distribution_function(safe, x))
    agrees(uniform, 1 / 2)
    agrees(uniform**2, 1 / 3)


def distribution_function(eta: Tensor, x: Tensor) -> Tensor:
    """(e^(ηx) − 1) / (e^η − 1), with the larger exponential divided out."""
    falling = torch.expm1(eta * x) / torch.expm1(eta)
    rising = (torch.exp(eta * (x - 1)) - torch.exp(-eta)) / -torch.expm1(-eta)
    return torch.where(eta > 0, rising, falling)


def exact_logistic(location: float, log_scale: float, level: int, levels: int) -> float:
    """log(F(right edge) − F(left edge)), the end levels reaching to infinity, in 60 digits."""

    def below(edge: mpmath.mpf) -> mpmath.mpf:
        return 1 / (1 + mpmath.exp(-(edge - mpmath.mpf(location)) / mpmath.exp(mpmath.mpf(log_scale))))

    half, x = mpmath.mpf(1) / 2 / (levels - 1), mpmath.mpf(level) / (levels - 1)
    right = mpmath.mpf(1) if level == levels - 1 else below(x + half)
    left = mpmath.mpf(0) if level == 0 else below(x - half)
    return float(mpmath.log(right - left))


@pytest.mark.parametrize("levels", [2, 3, 256, 65_536])
@pytest.mark.parametrize("log_scale", [-7.0, -5.0, -1.0, 0.0])
@pytest.mark.parametrize("location", [0.0, 0.31, 1.0])
def test_discretised_logistic_is_exact_in_far_tails(levels, log_scale, location):
    with mpmath.workdps(600):  # the tails reach e^−1100
        chosen = sorted({0, 1, levels // 3, levels // 2, levels - 2, levels - 1} & set(range(levels)))
        exact = real([exact_logistic(location, log_scale, i, levels) for i in chosen])
    p = DiscretisedLogistic(real(location), real(log_scale), levels)
    x = real(chosen) / (levels - 1)
    torch.testing.assert_close(p.log_prob(x), exact, rtol=1e-10, atol=1e-10)
    # In float32, x and the location are rounded to 6e-8, which the scale magnifies.
    coarse = DiscretisedLogistic(torch.tensor(location), torch.tensor(log_scale), levels).log_prob(x.float())
    allowed = 4 * 6e-8 * math.exp(-log_scale) + 1e-6 * (1 + exact.abs())
    assert ((coarse.double() - exact).abs() <= allowed).all()


def test_discretised_logistic_mean_is_that_of_the_levels():
    location = torch.linspace(0, 1, 11).double()[:, None]
    log_scale = torch.linspace(-7, 0, 8).double()
    p, x = DiscretisedLogistic(location, log_scale), torch.arange(256).double()[:, None, None] / 255
    exact = (p.log_prob(x).exp() * x).sum(0)
    assert (p.mean - exact).abs().max() <= 0.5 / 255
    wide = (p.mean - exact)[:, log_scale > -5.5]  # from a scale of one level on, rounding averages out
    assert wide.abs().max() < 1e-4


def test_discretised_logistic_draws_levels():
    p = DiscretisedLogistic(torch.linspace(-1, 2, 7), torch.tensor(-2.0))
    drawn = p.sample((500,)) * 255
    torch.testing.assert_close(drawn, drawn.round(), atol=1e-4, rtol=0)
    assert (drawn.min(), drawn.max()) == (0, 255)


def test_diagonal_normal():
    mean, log_std, z = torch.randn(3, 5, 4).double()
    torch.testing.assert_close(
        diagonal_normal(mean, log_std).log_prob(z), Normal(mean, log_std.exp()).log_prob(z).sum(-1)
    )


@torch.no_grad()
def test_kl_per_dimension_is_the_mean_of_the_draws(agrees):
    """Between two normals of which neither is standard, dimension by dimension."""
    q = diagonal_normal(torch.randn(3, 4).double(), 0.5 * torch.randn(3, 4).double())
    p = diagonal_normal(torch.randn(4).double(), 0.5 * torch.randn(4).double())
    z = q.sample((40_000,))
    agrees(q.base_dist.log_prob(z) - p.base_dist.log_prob(z), kl_per_dimension(q, p))
    torch.testing.assert_close(kl_per_dimension(q, q), torch.zeros(3, 4).double())


def test_kl_per_dimension_knows_what_it_does_not_know():
    q = diagonal_normal(torch.zeros(3, 4), torch.zeros(3, 4))
    assert kl_per_dimension(q, Independent(Laplace(torch.zeros(4), 1.0), 1)) is None
    assert kl_per_dimension(Independent(Laplace(torch.zeros(3, 4), 1.0), 1), q) is None
    assert kl_per_dimension(q, Normal(0.0, 1.0)) is None


def test_draw_scores_what_it_drew():
    mean = torch.randn(5, 4, requires_grad=True)
    q = diagonal_normal(mean, torch.zeros(5, 4))
    z, log_qz = rsample_and_log_prob(q, 3)
    assert (z.shape, log_qz.shape) == ((3, 5, 4), (3, 5))
    torch.testing.assert_close(log_qz, q.log_prob(z))
    torch.testing.assert_close(torch.autograd.grad(z.sum(), mean)[0], torch.full((5, 4), 3.0))


def test_draw_leaves_it_to_distributions_that_know_better():
    class Knows(Latent):
        def rsample_and_log_prob(self, samples: int) -> tuple[Tensor, Tensor]:
            return torch.zeros(samples), torch.ones(samples)

    z, log_qz = rsample_and_log_prob(Knows(), 7)
    assert torch.equal(z, torch.zeros(7)) and torch.equal(log_qz, torch.ones(7))


def test_detached_copies_all_levels_and_leaves_the_original():
    mean, log_std, logits = (torch.randn(2, 3, requires_grad=True) for _ in range(3))
    z = torch.rand(2, 3).round()
    for q in (diagonal_normal(mean, log_std), Independent(Bernoulli(logits=logits), 1, validate_args=False)):
        constant = detached(q)
        torch.testing.assert_close(constant.log_prob(z), q.log_prob(z))
        assert not constant.log_prob(z).requires_grad
        assert q.log_prob(z).requires_grad


def test_log_mean_exp():
    log_w = torch.tensor([[0.0, 1e4, -1e4], [math.log(3), 1e4, -1e4 + 1]])
    expected = real([math.log(2), 1e4, -1e4 + math.log((1 + math.e) / 2)])
    result = log_mean_exp(log_w)
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-7)  # log 3 came in float32


@pytest.mark.parametrize("levels", [2, 3, 16, 256, 257, 4096, 65_536])
def test_every_level_has_its_mass_however_many_there_are(levels):
    """All sum to one, and beyond 256, each in float32 is as in float64, from a quarter of a step to the whole range."""
    location = torch.tensor([0.0, 2**-13, 0.3125, 0.78125, 1 - 2**-8, 1.0])[:, None]  # numbers of levels in float32
    log_scale = torch.linspace(min(-7.0, -math.log(4 * levels)), 0, 7)[:, None, None]
    x = torch.arange(levels) / (levels - 1)
    found = DiscretisedLogistic(location, log_scale, levels).log_prob(x)
    numbers = torch.arange(levels).double() / (levels - 1)
    exact = DiscretisedLogistic(location.double(), log_scale.double(), levels).log_prob(numbers)
    blurred = 1e-4 if levels <= 256 else 2e-6  # at e^−7, of edges that are rounded to 6e-8
    torch.testing.assert_close(found.double(), exact, atol=blurred, rtol=2e-6)
    torch.testing.assert_close(found.double().exp().sum(-1), torch.ones(7, 6).double(), atol=blurred, rtol=0)
