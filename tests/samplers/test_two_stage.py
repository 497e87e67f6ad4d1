"""The second VAE: noise, constants and the bound."""

import math

import pytest
import torch

from vaelab.data.source import Split
from vaelab.model import VAE
from vaelab.registry.schema import build
from vaelab.samplers.fitting import draws
from vaelab.samplers.two_stage import TwoStage


@pytest.fixture
def model(linear_gaussian) -> VAE:
    return linear_gaussian()


@pytest.fixture
def split(model) -> Split:
    return Split((model.images(500).clamp(0, 1) * 255).round().to(torch.uint8))


@pytest.fixture
def density(model, split) -> TwoStage:
    return build("sampler", {"kind": "two_stage", "width": 32, "steps": 600, "lr": 1e-2}, model=model, split=split)


def standardised(density: TwoStage, z: torch.Tensor) -> torch.Tensor:
    """What the second VAE sees of z [B, D]: [B, 1, 1, D]."""
    return ((z - density.location) / density.scale).float()[:, None, None, :]


@torch.no_grad()
def test_without_a_decoder_the_noise_is_all_there_is(density, agrees):
    for parameter in density.second.decoder.parameters():
        parameter.zero_()
    density.second.likelihood.log_gamma.fill_(math.log(0.7))
    z = density.sample((5000,))
    agrees(z, density.location)
    agrees((z - density.location).square(), (0.7 * density.scale).square())


@torch.no_grad()
def test_gamma_is_the_error_that_is_left(model, split, density):
    """∂ELBO/∂γ = 0 at γ² = E(v − decoder(u))², within the noise of the last steps of 256 draws: a tenth of γ²."""
    v, second = standardised(density, next(draws(model, split, 5000, 1))), density.second
    error = (v - second.p_x(second.q_z(v).sample()).mean).square().mean()
    assert error == pytest.approx(second.likelihood.log_gamma.exp().square().item(), rel=0.1)


@torch.no_grad()
def test_bounds_a_density_that_integrates_to_one(density, agrees):
    """∫ E[p(z, u) / q(u | z)] dz = 1 over a box around all draws, and the ELBO is E log of the same weight."""
    half = 6 * density.scale
    z = density.location + half * (2 * torch.rand(200_000, 2).double() - 1)
    terms = density.second(standardised(density, z))
    log_w = terms.log_w[0] - density.scale.log().sum()
    agrees(log_w.exp() * (2 * half).prod(), 1.0)
    drawn = density.sample((20_000,))
    again = density.second(standardised(density, drawn))
    agrees(density.elbo(drawn) - (again.log_w[0] - density.scale.log().sum()), 0.0)


def test_has_no_density_to_evaluate(density):
    with pytest.raises(NotImplementedError):
        density.log_prob(torch.zeros(1, 2).double())
