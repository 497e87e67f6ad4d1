"""Laws of every prior, in float64: one distribution that is drawn from and scored, and a KL that samples confirm."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.distributions.latent import rsample_and_log_prob
from vaelab.distributions.normal import kl_per_dimension
from vaelab.registry.schema import build

SHAPE, LATENT_DIM = (1, 3, 4), 2


SIZES = {"x_shape": SHAPE, "latent_dim": LATENT_DIM, "levels": (1, 1), "top_dim": 1}
FLOW = {"kind": "flow", "flow": {"kind": "coupling", "layers": 2, "width": 8}}
# The posteriors without and with a flow that a prior may be made of; those with levels go with some of their own.
PARTNERS = {"two_level": ("two_level", "ladder"), "ladder": ("ladder", {"kind": "ladder", "width": 16})}


@pytest.fixture(params=[0, 1], ids=["plain", "other"])
def encode(request, prior) -> nn.Module:
    chosen = PARTNERS.get(prior["kind"], ("gaussian", FLOW))[request.param]
    encoder = nn.Sequential(nn.Flatten(-3), nn.Linear(12, 6), nn.Tanh())
    return build("posterior", chosen, encoder=encoder, **SIZES).double()


@pytest.fixture
def module(prior) -> nn.Module:
    """The prior, away from its initial weights."""
    built = build("prior", prior, **SIZES).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return built.eval()


@torch.no_grad()
def test_shapes(module, encode):
    p = module(encode)
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == ((), (LATENT_DIM,))
    assert p.sample((4, 5)).shape == (4, 5, LATENT_DIM)
    assert p.log_prob(torch.randn(4, 5, LATENT_DIM).double()).shape == (4, 5)


@torch.no_grad()
def test_density_integrates_to_one_and_has_the_entropy_and_moments_of_its_samples(module, encode, agrees):
    p = module(encode)
    drawn = p.sample((40_000,))
    points, weights = plane(drawn)
    log_p = p.log_prob(points).double()
    mass = log_p.exp() * weights
    torch.testing.assert_close(mass.sum(), torch.tensor(1.0).double(), atol=1e-5, rtol=0)
    agrees(-p.log_prob(drawn), -(mass * log_p.clamp(min=-1e9)).sum(), precision=1e-5)
    for moment in (1, 2):
        agrees(drawn**moment, (mass[:, None] * points**moment).sum(0), precision=1e-5)


def plane(drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Points [M, 2] and weights [M] of an integral over the plane, dense where samples [N, 2] fell."""
    t = torch.linspace(-8, 8, 401, dtype=torch.float64)
    centre, scale = drawn.double().mean(0), drawn.double().std(0)
    first, second = torch.cartesian_prod(t, t).unbind(-1)
    weights = (t[1] - t[0]) ** 2 * first.cosh() * second.cosh() * scale.prod()
    return centre + scale * torch.stack([first.sinh(), second.sinh()], -1), weights


@torch.no_grad()
def test_closed_form_kl_is_the_mean_of_the_draws(module, encode, agrees):
    q, p = encode(3 * torch.randn(6, *SHAPE).double()), module(encode)
    kl = kl_per_dimension(q, p)
    z, log_qz = rsample_and_log_prob(q, 20_000)
    rate = log_qz - p.log_prob(z)
    if kl is None:
        assert not is_diagonal_normal(q, p)
        assert (rate.mean(0) > -4.5 * rate.std(0) / len(rate) ** 0.5).all()  # no KL is negative
    else:
        assert kl.shape == (6, LATENT_DIM)
        assert (kl >= -1e-6).all()
        agrees(rate, kl.sum(-1), precision=1e-5)


def is_diagonal_normal(*distributions: Distribution) -> bool:
    return all(type(getattr(d, "base_dist", None)).__name__ == "Normal" for d in distributions)


def test_reaches_far_without_infinity(module, encode):
    z = torch.tensor([[0.0, 0.0], [40.0, -40.0], [1e3, 1e3]], dtype=torch.float64, requires_grad=True)
    log_p = module(encode).log_prob(z)
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert z.grad.isfinite().all()


def test_a_z_that_was_changed_in_place_is_scored_as_it_is(module, encode):
    """And may be moved by its gradient, step after step."""
    p = module(encode)
    z = torch.randn(4, LATENT_DIM).double().requires_grad_()
    optimiser = torch.optim.SGD([z], lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        log_p = p.log_prob(z)
        torch.testing.assert_close(log_p, module(encode).log_prob(z.detach().clone()))
        (-log_p.sum()).backward(inputs=[z], retain_graph=True)
        optimiser.step()


def test_every_parameter_learns(module, encode):
    module(encode).log_prob(torch.randn(20, LATENT_DIM, dtype=torch.float64, requires_grad=True)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_the_normal_prior_is_standard_and_keeps_nothing():
    """A checkpoint of a model with it holds no weight of it."""
    prior = build("prior", "normal", x_shape=SHAPE, latent_dim=3)
    assert prior.state_dict() == {}
    z = torch.tensor([[1.0, -2.0, 0.5]])
    expected = -(z.square().sum() + 3 * torch.tensor(2 * torch.pi).log()) / 2
    torch.testing.assert_close(prior(None).log_prob(z), expected[None])
