"""Laws of every posterior: draws are scored by the density they came from, and carry its gradient."""

import pytest
import torch
from torch import Tensor, nn

from vaelab.distributions.latent import constant, detached, has_moments, moments, rsample_and_log_prob
from vaelab.registry.schema import build

SHAPE, LATENT_DIM, IMAGES = (1, 4, 4), 2, 3
SIZES = {"x_shape": SHAPE, "latent_dim": LATENT_DIM, "levels": (1, 1)}
PYRAMID = {"kind": "progressive_residual", "start_res": 2, "base_channels": 4, "min_channels": 4}


@pytest.fixture
def decoder() -> nn.ModuleList:
    """The decoder that a posterior looks into, where it does."""
    return nn.ModuleList()


@pytest.fixture
def module(posterior, decoder) -> nn.Module:
    """The posterior with an encoder, away from its initial weights."""
    encoder = nn.Sequential(nn.Flatten(-3), nn.Linear(16, 6), nn.Tanh())
    if posterior["kind"] == "residual":
        encoder, pictures = build("backbone", PYRAMID, out_channels=1, **SIZES)
        decoder.append(pictures)
    built = build("posterior", posterior, encoder=encoder, **SIZES)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return built


@pytest.fixture
def x() -> Tensor:
    return torch.rand(IMAGES, *SHAPE)


def test_shapes(module, x):
    q = module(x)
    z, log_qz = rsample_and_log_prob(q, 5)
    assert (tuple(q.batch_shape), tuple(q.event_shape)) == ((IMAGES,), (LATENT_DIM,))
    assert (z.shape, log_qz.shape) == ((5, IMAGES, LATENT_DIM), (5, IMAGES))


def test_draws_are_scored_by_their_density(module, x):
    q = module(x)
    z, log_qz = rsample_and_log_prob(q, 1000)
    torch.testing.assert_close(log_qz, q.log_prob(z))


@torch.no_grad()
def test_density_integrates_to_one_and_has_the_entropy_of_its_samples(module, decoder, x, agrees):
    q = doubled(module, decoder)(x.double())
    points, weights = plane(q.sample((2000,)))
    log_q = q.log_prob(points).double()
    mass = log_q.exp() * weights
    torch.testing.assert_close(mass.sum(0), torch.ones(IMAGES).double(), atol=1e-5, rtol=0)
    z, log_qz = rsample_and_log_prob(q, 20_000)
    agrees(-log_qz, -(mass * log_q.clamp(min=-1e9)).sum(0), precision=1e-5)
    agrees(z, (mass[..., None] * points.double()).sum(0), precision=1e-5)
    if has_moments(q):
        torch.testing.assert_close(q.mean, (mass[..., None] * points).sum(0), atol=1e-5, rtol=0)
    mean, variance = moments(q, 20_000)
    torch.testing.assert_close(mean, z.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(variance, z.var(0), atol=0.1, rtol=0.2)


def doubled(module: nn.Module, decoder: nn.Module) -> nn.Module:
    """In float64, and so is the decoder that the posterior of a pyramid looks at."""
    decoder.double()
    return module.double()


def plane(drawn: Tensor, half: int = 100) -> tuple[Tensor, Tensor]:
    """Points [M, B, 2] and weights [M, B] of an integral over the plane, dense where samples [N, B, 2] fell."""
    t = torch.linspace(-8, 8, 2 * half + 1, dtype=torch.float64)
    centre, scale = drawn.double().mean(0), drawn.double().std(0)
    first, second = torch.cartesian_prod(t, t).unbind(-1)
    offsets = torch.stack([first.sinh(), second.sinh()], -1)[:, None, :]
    weights = (t[1] - t[0]) ** 2 * first.cosh() * second.cosh()
    return centre + scale * offsets, weights[:, None] * scale.prod(-1)


def test_score_has_expectation_zero(module, x, agrees):
    """E ∇ log q(z) = 0 at fixed z: the density stays normalised in every direction of its parameters."""

    def score() -> Tensor:
        z, _ = rsample_and_log_prob(module(x), 300)
        return module(x).log_prob(z.detach()).mean()

    agrees(gradients(module, score), 0.0)


def test_gradient_through_the_draws_is_the_gradient_of_the_expectation(module, x, agrees):
    """Reparameterised ∇f(z) and the score estimate f(z)·∇ log q(z) agree in expectation, with f = ‖z‖²."""

    def path() -> Tensor:
        z, _ = rsample_and_log_prob(module(x), 300)
        return z.square().sum(-1).mean()

    def score() -> Tensor:
        z = rsample_and_log_prob(module(x), 300)[0].detach()
        return (z.square().sum(-1) * module(x).log_prob(z)).mean()

    agrees(gradients(module, path) - gradients(module, score), 0.0)


def gradients(module: nn.Module, value, times: int = 100) -> Tensor:
    """The gradient of a random value in all parameters, drawn `times` times: [times, P]."""
    parameters = list(module.parameters())
    drawn = [torch.autograd.grad(value(), parameters) for _ in range(times)]
    return torch.stack([torch.cat([g.flatten() for g in one]) for one in drawn])


def test_detached_is_the_same_density_as_a_constant(module, decoder, x):
    q = module(x)
    z = rsample_and_log_prob(q, 7)[0]
    with constant(module), constant(decoder):
        fixed = detached(q).log_prob(z.detach())
    torch.testing.assert_close(fixed, q.log_prob(z))
    assert not fixed.requires_grad
    assert q.log_prob(z.detach()).requires_grad


def test_a_z_that_was_changed_in_place_is_scored_as_it_is(module, x):
    """And may be moved by its gradient, step after step."""
    q = module(x)
    z = rsample_and_log_prob(module(x), 4)[0].detach().requires_grad_()
    optimiser = torch.optim.SGD([z], lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        log_p = q.log_prob(z)
        torch.testing.assert_close(log_p, module(x).log_prob(z.detach().clone()))
        (-log_p.sum()).backward(inputs=[z], retain_graph=True)
        optimiser.step()


def test_every_parameter_learns(module, x):
    z, log_qz = rsample_and_log_prob(module(x), 4)
    (z.square().sum() + log_qz.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_wild_features_leave_everything_finite(module, x):
    q = module(1e6 * (x - 0.5))
    z, log_qz = rsample_and_log_prob(q, 4)
    (z.mean() + log_qz.mean()).backward()
    assert z.isfinite().all()
    assert log_qz.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_bf16_features_give_float32_densities(module, x):
    with torch.autocast("cpu", torch.bfloat16):
        z, log_qz = rsample_and_log_prob(module(x), 3)
    assert z.dtype == log_qz.dtype == torch.float32


def test_gaussian_keeps_its_log_variance_within_bounds():
    given = {"kind": "gaussian", "log_variance": [-4.0, 2.0]}
    posterior = build("posterior", given, encoder=nn.Flatten(-3), x_shape=SHAPE, latent_dim=LATENT_DIM)
    variance = posterior(1e4 * torch.randn(500, *SHAPE)).variance
    torch.testing.assert_close(variance.aminmax(), torch.tensor([-4.0, 2.0]).exp().unbind())


def test_gaussian_refuses_bounds_in_the_wrong_order():
    given = {"kind": "gaussian", "log_variance": [2, -4]}
    with pytest.raises(Exception, match=r"log_variance must be \[low, high\]"):
        build("posterior", given, encoder=nn.Flatten(-3), x_shape=SHAPE, latent_dim=LATENT_DIM)
