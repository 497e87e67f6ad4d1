"""The nearest posterior, by brute force."""

import math

import pytest
import torch
from torch.distributions import Independent, Laplace, Normal

from vaelab.data.source import Split
from vaelab.errors import UsageError
from vaelab.registry.schema import build
from vaelab.roles import Posterior
from vaelab.samplers import nearest_posterior as module
from vaelab.samplers.nearest_posterior import NearestPosterior

IMAGES, D = 40, 5


@pytest.fixture
def density() -> NearestPosterior:
    prior = Independent(Normal(torch.zeros(D), 1.0), 1)
    return NearestPosterior(prior, torch.randn(IMAGES, D), (0.5 * torch.randn(IMAGES, D)).exp())


@pytest.mark.parametrize("held", [1, 7 * IMAGES, 2**24])
def test_is_the_argmax_of_all_densities_however_it_is_cut(density, monkeypatch, held):
    monkeypatch.setattr(module, "SCORES", held)
    z = 2 * torch.randn(3, 31, D)
    scores = Independent(Normal(density.means.double(), density.scales.double()), 1).log_prob(z[..., None, :])
    assert torch.equal(density.nearest(z), scores.argmax(-1))
    torch.testing.assert_close(density._scores(z[0]), scores[0])


def test_extreme_scales_lose_no_digit():
    """log σ² from −14 to 6, the bounds of the Gaussian posterior."""
    scales = (torch.rand(IMAGES, D) * 20 - 14).div(2).exp()
    density = NearestPosterior(Independent(Normal(torch.zeros(D), 1.0), 1), torch.randn(IMAGES, D), scales)
    z = density.means + scales * torch.randn(IMAGES, D)
    exact = Independent(Normal(density.means.double(), scales.double()), 1).log_prob(z[:, None, :].double())
    torch.testing.assert_close(density._scores(z), exact, rtol=1e-9, atol=1e-6)


def test_draws_have_the_width_of_their_posterior(agrees):
    """One image: z ~ q(z | x)."""
    mean, scale = torch.tensor([[3.0, -1.0]]), torch.tensor([[0.2, 2.0]])
    z = NearestPosterior(Independent(Normal(torch.zeros(2), 1.0), 1), mean, scale).sample((5000,))
    agrees(z, mean[0])
    agrees((z - mean).square(), scale[0].square())


def test_images_count_as_often_as_the_prior_falls_near_them(agrees):
    """Two equal posteriors at 0 and 2: the border is at 1, beyond which N(0, 1) has the mass ½ erfc(1/√2)."""
    means = torch.tensor([[0.0], [2.0]])
    z = NearestPosterior(Independent(Normal(torch.zeros(1), 1.0), 1), means, torch.full((2, 1), 1e-3)).sample((9000,))
    agrees((z > 1).float(), math.erfc(0.5**0.5) / 2)


class Laplacian(Posterior):
    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Independent:
        return Independent(Laplace(torch.zeros(len(x), 2), 1.0), 1)


def test_other_posteriors_are_refused(linear_gaussian):
    model = linear_gaussian()
    model.posterior = Laplacian()
    split = Split(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(UsageError, match="needs diagonal Gaussian posteriors; take the sampler gmm or flow"):
        build("sampler", "nearest_posterior", model=model, split=split)
