"""The parts of the rate, where they are known in closed form."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Laplace, MixtureSameFamily, Normal

from vaelab.data.source import Split
from vaelab.distributions import mixture as mixtures
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.metrics.elbo_surgery import elbo_surgery, log_mixture


class ByHand(nn.Module):
    """Image i, whose only pixel is i / 255, has the posterior N(means[i], diag stds²); the prior is N(0, I)."""

    classes = 0

    def __init__(self, means: Tensor, stds: Tensor | float = 1.0, prior: Distribution | None = None) -> None:
        super().__init__()
        self.means, self.stds = nn.Parameter(means.double()), torch.as_tensor(stds).double()
        zeros = torch.zeros(means.shape[-1]).double()
        self.prior = prior or diagonal_normal(zeros, zeros)

    def q_z(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        mean = self.means[(x.flatten() * 255).round().long()]
        return diagonal_normal(mean, self.stds.log().expand_as(mean))

    def p_z(self, y: Tensor | None = None) -> Distribution:
        return self.prior


def images(count: int) -> Split:
    return Split(torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1))


def parts(model: nn.Module, count: int, samples: int = 1) -> dict[str, float]:
    return elbo_surgery(model, images(count), samples=samples).values  # pyright: ignore


@pytest.mark.parametrize("pairs", [1, 100, 2**17])
def test_log_mixture_is_the_density_of_the_mixture(monkeypatch, pairs):
    """Also of narrow components far from the origin, where float32 would be off by many nats."""
    monkeypatch.setattr(mixtures, "PAIRS", pairs)
    mean, std = 100 + 3 * torch.randn(30, 7).double(), (3 * torch.randn(30, 7).double() - 3).exp()
    z = mean[torch.randint(30, (50,))] + 0.1 * torch.randn(50, 7).double()
    mixture = MixtureSameFamily(Categorical(logits=torch.zeros(30)), Independent(Normal(mean, std), 1))
    torch.testing.assert_close(log_mixture(z, mean, std), mixture.log_prob(z), rtol=1e-7, atol=1e-6)


def test_parts_add_up():
    values = parts(ByHand(torch.randn(50, 3), torch.rand(3) + 0.2), 50)
    assert values["rate"] == pytest.approx(values["mutual_information"] + values["marginal_kl"])
    assert values["marginal_kl"] == pytest.approx(values["total_correlation"] + values["dimension_kl"])


def test_rate_is_the_closed_form(agrees):
    model = ByHand(torch.randn(20, 3), torch.rand(3) + 0.2)
    q, p = model.q_z(images(20).images / 255), model.p_z()
    rates = [elbo_surgery(model, images(20), seed=s, samples=50).values["rate"] for s in range(12)]
    agrees(torch.tensor(rates), torch.distributions.kl_divergence(q, p).mean().item())


def test_one_posterior_for_all_carries_no_information(agrees):
    """Then q(z) is that posterior: I = 0 and TC = 0 in every draw, and the marginal KL is the rate."""
    values = parts(ByHand(torch.full((30, 2), 1.5), 0.5), 30)
    assert values["mutual_information"] == pytest.approx(0, abs=1e-9)
    assert values["total_correlation"] == pytest.approx(0, abs=1e-9)
    assert values["dimension_kl"] == pytest.approx(values["rate"])


def test_posteriors_far_apart_name_their_image():
    """I = log M, and it is said that this is the ceiling; one coordinate tells the other, so TC = log M too."""
    found = elbo_surgery(ByHand(100 * torch.arange(16)[:, None].expand(16, 2)), images(16))
    assert found.values["mutual_information"] == pytest.approx(math.log(16))
    assert found.values["total_correlation"] == pytest.approx(math.log(16))
    assert "near its ceiling log 16 = 2.77" in found.notes[0]


def test_a_grid_has_no_total_correlation():
    """The mixture over a grid of means is a product of its margins, whatever the overlap."""
    grid = torch.cartesian_prod(torch.arange(5.0), torch.arange(4.0), torch.arange(3.0))
    values = parts(ByHand(grid, 0.7), 60)
    assert values["total_correlation"] == pytest.approx(0, abs=1e-9)
    assert 0 < values["mutual_information"] < math.log(60)


def test_two_posteriors_by_quadrature(agrees):
    """I(n; z) of N(±1, 1) on a line, by summing −∫ q log q, and the KL of their mixture from the prior."""
    z = torch.linspace(-12, 12, 24_001).double()
    each = torch.stack([Normal(m, 1.0).log_prob(z) for m in (-1.0, 1.0)])
    mixture = each.logsumexp(0) - math.log(2)
    step = z[1] - z[0]
    information = (each.exp() * (each - mixture)).sum() * step / 2
    marginal = (mixture.exp() * (mixture - Normal(0.0, 1.0).log_prob(z))).sum() * step
    model = ByHand(torch.tensor([[-1.0], [1.0]]))
    found = [elbo_surgery(model, images(2), samples=500, seed=s).values for s in range(12)]
    agrees(torch.tensor([v["mutual_information"] for v in found]), information.item())
    agrees(torch.tensor([v["marginal_kl"] for v in found]), marginal.item())


def test_first_images_only():
    found = elbo_surgery(ByHand(torch.randn(50, 3)), images(50), images=20)
    assert found.protocol["images"] == 20
    assert "log 20" in found.protocol["estimator"]


def test_a_prior_that_does_not_factorise_has_no_dimension_kl():
    component = diagonal_normal(torch.zeros(2, 3).double(), torch.zeros(2, 3).double())
    prior = MixtureSameFamily(Categorical(logits=torch.zeros(2)), component)
    values = parts(ByHand(torch.randn(9, 3), prior=prior), 9)
    assert "dimension_kl" not in values
    assert "total_correlation" in values


def test_other_posteriors_are_refused():
    model = ByHand(torch.randn(9, 3))
    model.q_z = lambda x, y: Independent(Laplace(torch.zeros(len(x), 3), 1.0), 1)
    with pytest.raises(NotApplicable, match="diagonal Gaussians only"):
        elbo_surgery(model, images(9))  # pyright: ignore
