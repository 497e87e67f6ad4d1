"""The Gaussian mixture."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from vaelab.data.source import Split
from vaelab.errors import UsageError
from vaelab.registry.schema import build


@pytest.fixture
def split(linear_gaussian) -> Split:
    return Split((linear_gaussian().images(500).clamp(0, 1) * 255).round().to(torch.uint8))


@torch.no_grad()
def aggregated(model, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of E_x q(z | x)."""
    q = model.q_z(split.images / 255)
    return q.mean.mean(0), q.mean.T.cov(correction=0) + q.variance.mean(0).diag()


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_one_component_has_the_moments_of_the_aggregated_posterior(linear_gaussian, split, covariance):
    """The maximum-likelihood normal; 2 KL · 20,000 is a χ² of five degrees of freedom, 5 ± 3.2."""
    model = linear_gaussian()
    fitted = build("sampler", {"kind": "gmm", "components": 1, "covariance": covariance}, model=model, split=split)
    mean, matrix = aggregated(model, split)
    scale, normal = fitted.transforms[0].scale, fitted.base_dist.component_distribution
    found = MultivariateNormal(fitted.transforms[0](normal.mean[0]), scale.outer(scale) * normal.covariance_matrix[0])
    wanted = MultivariateNormal(mean, matrix if covariance == "full" else matrix.diag().diag())
    assert 40_000 * torch.distributions.kl_divergence(wanted, found) < 5 + 4.5 * 3.2


def test_fewer_images_than_components_are_refused(linear_gaussian, split):
    with pytest.raises(UsageError, match="10 components need as many images and points, there are 9 and"):
        build("sampler", "gmm", model=linear_gaussian(), split=split[:9])


def test_one_image_has_a_density(linear_gaussian, split):
    """Its posterior, because posteriors have a width."""
    fitted = build("sampler", {"kind": "gmm", "components": 1}, model=linear_gaussian(), split=split[:1])
    assert fitted.log_prob(fitted.sample((5,))).isfinite().all()
