"""Bounds on the log-likelihood, on a model whose likelihood is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily

from vaelab.data.source import Split
from vaelab.metrics import likelihood as module
from vaelab.metrics.likelihood import is_mass, likelihood


@pytest.fixture
def split(linear_gaussian) -> Split:
    images = linear_gaussian().images(40).clamp(0, 1)
    return Split((images * 255).round().to(torch.uint8))


def exact(model, split: Split) -> float:
    return model.log_evidence(split.images / 255).mean().item()


def test_bounds_rise_with_the_samples_and_stay_below_the_evidence(linear_gaussian, split):
    """The ELBO, then 1, 10 and 100 draws, over thirty seeds."""
    model = linear_gaussian(off=0.4)
    by_samples = [[likelihood(model, split, samples=s, seed=seed) for seed in range(30)] for s in (1, 10, 100)]
    levels = torch.tensor([[v["iwae"] for v in values] for values in by_samples])
    errors = levels.std(1) / 30**0.5
    assert (levels.mean(1) <= exact(model, split) + 4.5 * errors).all()
    assert (levels.mean(1).diff() > 4.5 * errors[1:]).all()
    elbo = torch.tensor([v["elbo"] for v in by_samples[0]])
    assert abs(elbo.mean() - levels[0].mean()) < 4.5 * (elbo.std() / 30**0.5 + errors[0])  # one draw is the ELBO


def test_many_samples_reach_the_evidence(linear_gaussian, split):
    """Within three standard errors of the mean weight, and the bias −Var w / 2S that its logarithm has."""
    model, samples = linear_gaussian(off=0.4), 5000
    value = likelihood(model, split, samples=samples)["iwae"]
    with torch.no_grad():
        log_w = model(split.images / 255, samples=samples).log_w
    scatter = (log_w - log_w.logsumexp(0)).exp().mul(samples).var(0) / samples  # of each image's mean weight, relative
    error, bias = scatter.sum().sqrt() / len(scatter), scatter.mean() / 2
    assert error < 0.02
    assert abs(value - exact(model, split)) < 3 * error + bias


def test_terms_add_up(linear_gaussian, split):
    values = likelihood(linear_gaussian(off=0.4), split, samples=10)
    assert values["elbo"] == pytest.approx(values["log_px"] - values["kl"])
    model = linear_gaussian(off=0.4)
    assert values["kl"] == pytest.approx(model(split.images / 255).kl.sum(-1).mean().item())


def test_is_the_evidence_at_the_exact_posterior_however_it_is_cut(linear_gaussian, split, monkeypatch):
    """Every weight is p(x) there: pieces of images and of draws change nothing."""
    model = linear_gaussian()
    truth = exact(model, split)
    for rows in (1, 7, 64, 25_000):
        monkeypatch.setattr(module, "ROWS", rows)
        values = likelihood(model, split, samples=10)
        assert values["iwae"] == pytest.approx(truth, abs=1e-9)


class Hidden(torch.nn.Module):
    """A prior whose KL has no closed form, though it is the same distribution: a mixture of one component."""

    def __init__(self, prior: torch.nn.Module) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, posterior: torch.nn.Module) -> Distribution:
        p: Independent = self.prior(posterior)
        component = type(p)(p.base_dist.expand((1, 2)), 1)
        return MixtureSameFamily(torch.distributions.Categorical(logits=torch.zeros(1).double()), component)


@pytest.mark.parametrize("rows", [7, 64, 25_000])
def test_every_draw_counts_the_same_without_a_closed_form(linear_gaussian, split, monkeypatch, rows):
    """log p(x | z) and the KL scatter, their difference does not: unless pieces of unlike size were weighed alike."""
    model = linear_gaussian()
    truth = exact(model, split)
    model.prior = Hidden(model.prior)
    assert model(split.images / 255).kl is None
    monkeypatch.setattr(module, "ROWS", rows)
    assert likelihood(model, split, samples=10)["elbo"] == pytest.approx(truth, abs=1e-9)


def test_errors_are_standard_errors_over_images(linear_gaussian, split):
    model = linear_gaussian()
    evidence = model.log_evidence(split.images / 255)
    error = (evidence.std(correction=0) / math.sqrt(len(evidence))).item()
    assert likelihood(model, split, samples=3)["iwae_error"] == pytest.approx(error)


def test_the_seed_decides(linear_gaussian, split):
    model = linear_gaussian(off=0.4)
    first, same, other = (likelihood(model, split, samples=5, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first["iwae"] != other["iwae"]


def test_bits_per_dimension(linear_gaussian, split):
    """Of a density, one step of 1/256 per pixel; of a probability, as it is."""
    model = linear_gaussian()
    nats = exact(model, split)
    assert likelihood(model, split, samples=3)["bits_per_dim"] == pytest.approx(-nats / 4 / math.log(2) + 8)
    assert not is_mass(model)
    for word in ("binary", "discrete"):
        counted = linear_gaussian()
        setattr(counted.likelihood, word, True)
        assert is_mass(counted)
        assert likelihood(counted, split, samples=3)["bits_per_dim"] == pytest.approx(-nats / 4 / math.log(2))


def test_needs_no_gradient(linear_gaussian, split):
    model = linear_gaussian()
    seen: list[Tensor] = []
    model.register_forward_hook(lambda *args: seen.append(args[2].log_px))
    likelihood(model, split, samples=2)
    assert seen
    assert not any(t.requires_grad for t in seen)
