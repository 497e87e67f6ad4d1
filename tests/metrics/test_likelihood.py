"""Bounds on the log-likelihood, on a model whose likelihood is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal

from vaelab.data.scale import Scale
from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics import likelihood as module
from vaelab.metrics.batches import spread
from vaelab.metrics.likelihood import dequantised, ladder, level, likelihood
from vaelab.model import VAE
from vaelab.recipe.recipe import Recipe


@pytest.fixture
def split(linear_gaussian) -> Split:
    images = linear_gaussian().images(40).clamp(0, 1)
    return Split((images * 255).round().to(torch.uint8))


def exact(model, split: Split) -> float:
    return model.log_evidence(split.images / 255).mean().item()


def test_bounds_rise_with_the_samples_and_stay_below_the_evidence(linear_gaussian, split):
    """The ELBO, then 1, 10 and 100 draws, over fifteen seeds."""
    model = linear_gaussian(off=0.4)
    by_samples = [[likelihood(model, split, samples=s, seed=seed).values for seed in range(15)] for s in (1, 10, 100)]
    levels = torch.tensor([[v["iwae"] for v in values] for values in by_samples])
    errors = levels.std(1) / 15**0.5
    assert (levels.mean(1) <= exact(model, split) + 4.5 * errors).all()
    assert (levels.mean(1).diff() > 4.5 * errors[1:]).all()
    elbo = torch.tensor([v["elbo"] for v in by_samples[0]])
    assert abs(elbo.mean() - levels[0].mean()) < 4.5 * (elbo.std() / 15**0.5 + errors[0])  # one draw is the ELBO


def test_many_samples_reach_the_evidence(linear_gaussian, split):
    """Within three standard errors of the mean weight, and the bias −Var w / 2S that its logarithm has."""
    model, samples = linear_gaussian(off=0.4), 5000
    value = likelihood(model, split, samples=samples).values["iwae"]
    with torch.no_grad():
        log_w = model(split.images / 255, samples=samples).log_w
    scatter = (log_w - log_w.logsumexp(0)).exp().mul(samples).var(0) / samples  # of each image's mean weight, relative
    error, bias = scatter.sum().sqrt() / len(scatter), scatter.mean() / 2
    assert error < 0.02
    assert abs(value - exact(model, split)) < 3 * error + bias


def test_terms_add_up(linear_gaussian, split):
    values = likelihood(linear_gaussian(off=0.4), split, samples=10).values
    assert values["elbo"] == pytest.approx(values["log_px"] - values["kl"])
    model = linear_gaussian(off=0.4)
    assert values["kl"] == pytest.approx(model(split.images / 255).kl.sum(-1).mean().item())


def test_is_the_evidence_at_the_exact_posterior_however_it_is_cut(linear_gaussian, split, monkeypatch):
    """Every weight is p(x) there: pieces of images and of draws change nothing."""
    model = linear_gaussian()
    truth = exact(model, split)
    for rows in (1, 7, 64, 25_000):
        monkeypatch.setattr(module, "_rows", lambda *_, rows=rows: rows)
        found = likelihood(model, split, samples=10)
        assert found.values["iwae"] == pytest.approx(truth, abs=1e-9)
        assert found.values["ess"] == pytest.approx(10)
        assert [level for _, level in found.curves["iwae"]] == pytest.approx([truth] * 4, abs=1e-9)


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
    monkeypatch.setattr(module, "_rows", lambda *_: rows)
    assert likelihood(model, split, samples=10).values["elbo"] == pytest.approx(truth, abs=1e-9)


def test_errors_are_standard_errors_over_images(linear_gaussian, split):
    model = linear_gaussian()
    evidence = model.log_evidence(split.images / 255)
    error = (evidence.std() / math.sqrt(len(evidence))).item()
    assert likelihood(model, split, samples=3).values["iwae_error"] == pytest.approx(error)


def test_the_seed_decides(linear_gaussian, split):
    model = linear_gaussian(off=0.4)
    first, same, other = (likelihood(model, split, samples=5, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first.values["iwae"] != other.values["iwae"]


def test_bits_per_dimension(linear_gaussian, split):
    """Of a density, of dequantised images in steps of 1/256; of a probability, of the images as they are."""
    model = linear_gaussian()
    nats = exact(model, split)
    noisy = dequantised(split.images / 255, 256, torch.Generator().manual_seed(0))
    assert (noisy * 256).floor().byte().equal(split.images)
    expected = model.log_evidence(noisy).mean().item()
    found = likelihood(model, split, samples=1000).values["bits_per_dim"]  # the posterior is that of the images
    assert found == pytest.approx(-expected / 4 / math.log(2) + 8, abs=1e-4)
    assert model.scores == "density"
    model.likelihood.scores = "mass"
    assert likelihood(model, split, samples=3).values["bits_per_dim"] == pytest.approx(-nats / 4 / math.log(2))


SIXTEEN_BIT, REAL = Scale(high=65_535.0, stored="uint16"), Scale(-20.0, 60.0, "float32", clip=False)


def of_scale(scale: Scale, images: Tensor) -> Split:
    """Images of x in [0, 1], stored and read by a scale."""
    return Split(scale.to_unit(scale.to_values(images)))


def test_bits_of_sixteen_are_those_of_65536_levels(linear_gaussian):
    """A density's on cells of 1/65,536, each of which its level's own; the smooth density hardly sees them."""
    model = linear_gaussian()
    model.scale, split = SIXTEEN_BIT, of_scale(SIXTEEN_BIT, model.images(40).clamp(0, 1))
    noisy = dequantised(split.images.double(), 65_536, torch.Generator().manual_seed(0))
    assert (noisy * 65_536).floor().equal((split.images.double() * 65_535).round())
    found = likelihood(model, split, samples=1000)
    assert found.values["bits_per_dim"] == pytest.approx(-found.values["iwae"] / 4 / math.log(2) + 16, abs=1e-4)
    assert found.protocol["scale"] == {"low": 0.0, "high": 65_535.0, "levels": 65_536}
    model.likelihood.scores = "mass"
    masses = likelihood(model, split, samples=1000).values
    assert masses["bits_per_dim"] == pytest.approx(-masses["iwae"] / 4 / math.log(2))


def test_dequantised_levels_stay_apart_in_float32():
    """Of 65,536, each within its own cell, uniform to the 1/256 of a cell that float32 has at white."""
    x = (torch.arange(65_536).float() / 65_535).repeat(50, 1)
    offset = dequantised(x, 65_536, torch.Generator().manual_seed(0)).double() * 65_536 - torch.arange(65_536)
    assert offset.min() >= 0
    assert offset.max() <= 1
    deviates = (offset.mean() - 0.5) / (1 / 12 / offset.numel()) ** 0.5, offset.var() - 1 / 12
    assert abs(deviates[0]) < 4.5
    assert abs(deviates[1]) < 4.5 * (1 / 180 / offset.numel()) ** 0.5 + 1 / 256**2


def test_a_density_of_real_values_has_no_bits_and_tells_its_units(linear_gaussian):
    """By the scale in its protocol: a density of values is one of x less log(high − low) per dimension."""
    model = linear_gaussian()
    model.scale, split = REAL, Split(model.images(40).float())
    found = likelihood(model, split, samples=10)
    assert "bits_per_dim" not in found.values
    assert any("no bits per dimension" in note for note in found.notes)
    scale = found.protocol["scale"]
    assert (scale["low"], scale["high"], scale["levels"]) == (-20.0, 60.0, None)
    with torch.no_grad():
        weight, values = model.decoder.weight, split.images.double().flatten(1) * 80 - 20
        mean = 80 * (model.decoder.bias + weight @ model.prior.mean) - 20
        covariance = 80**2 * (weight @ weight.T + model.sigma**2 * torch.eye(4))
        of_values = MultivariateNormal(mean, covariance).log_prob(values).mean().item()
    assert found.values["iwae"] - 4 * math.log(scale["high"] - scale["low"]) == pytest.approx(of_values, abs=1e-4)


SURE = ({"kind": "laplace", "scale": 1e-3}, {"kind": "normal", "sigma": 1e-3})


@pytest.mark.parametrize("spec", [*SURE, {"kind": "continuous_bernoulli"}], ids=lambda spec: spec["kind"])
def test_bits_of_a_density_are_those_of_a_code(spec):
    """However sure a density is of black images, they take no negative number of bits; the uniform one takes 8."""
    model = {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 4}, "likelihood": spec}
    built = Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": model}).build_model((1, 4, 4)).eval()
    *others, bias = built.decoder.parameters()
    for parameter in (*others, bias, *built.posterior.parameters()):  # which is the prior then
        parameter.data.zero_()
    bias.data.fill_(-20 if spec in SURE else 0)  # a black picture, or a grey one
    found = likelihood(built, Split(torch.zeros(8, 1, 4, 4, dtype=torch.uint8)), samples=2).values["bits_per_dim"]
    assert 0 <= found < 8 if spec in SURE else found == pytest.approx(8)


def test_one_image_has_no_interval_and_no_error(linear_gaussian, split):
    found = likelihood(linear_gaussian(), split[:1], samples=3)
    assert not found.intervals
    assert not any(name.endswith("_error") for name in found.values)
    assert "too few" in found.notes[0]


def test_images_are_encoded_once_and_decoded_in_pieces_without_gradient(linear_gaussian, split, monkeypatch):
    model = linear_gaussian(off=0.4)
    encoded: list[int] = []
    decoded: list[Tensor] = []
    model.posterior.register_forward_hook(lambda _, args, __: encoded.append(len(args[0])))
    model.decoder.register_forward_hook(lambda _, __, output: decoded.append(output))
    monkeypatch.setattr(module, "_rows", lambda *_: 64)
    likelihood(model, split, samples=100)
    assert encoded == [1] * 40
    assert sum(map(len, decoded)) == 40 * 100
    assert max(map(len, decoded)) <= 64
    assert not any(t.requires_grad for t in decoded)


def test_some_images_only(linear_gaussian, split):
    model = linear_gaussian()
    found = likelihood(model, split, samples=3, images=7)
    assert found.values["iwae"] == pytest.approx(exact(model, spread(split, 7)), abs=1e-9)
    assert found.protocol["images"] == 7


def test_some_images_are_evenly_spaced():
    """Static MNIST is sorted by class: the first thousand would all be alike."""
    split = Split(torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1))
    assert spread(split, 4).images.flatten().tolist() == [0, 2, 5, 7]
    assert spread(split, None) is spread(split, 11) is split


@pytest.mark.parametrize(
    ("samples", "steps"),
    [
        (1, [1]),
        (2, [1, 2]),
        (7, [1, 2, 5, 7]),
        (100, [1, 2, 5, 10, 20, 50, 100]),
        (300, [1, 2, 5, 10, 20, 50, 100, 200, 300]),
    ],
)
def test_ladder(samples, steps):
    assert ladder(samples) == steps


def test_levels_average_disjoint_blocks():
    """Of weights 1 to 7: L_3 is the mean of log 2 and log 5, and the seventh waits."""
    log_w = torch.arange(1.0, 8.0).double().log()[:, None]
    assert level(log_w, 3).item() == pytest.approx((math.log(2) + math.log(5)) / 2)
    assert level(log_w, 1).item() == pytest.approx(log_w.mean().item())
    assert level(log_w, 7).item() == pytest.approx(math.log(4))


def test_the_curve_rises_to_the_bound(linear_gaussian, split):
    """From the ELBO of the same draws; blocks make every point unbiased, so neighbours differ by more than noise."""
    found = likelihood(linear_gaussian(off=0.4), split, samples=2000)
    sizes, levels = zip(*found.curves["iwae"], strict=True)
    assert sizes[0] == 1
    assert levels[-1] == found.values["iwae"]
    assert list(levels[:8]) == sorted(levels[:8])  # to 200, where ten blocks of each of forty images are averaged
    log_w = linear_gaussian(off=0.4)(split.images / 255, samples=2000).log_w
    error = (log_w.var(0).sum() / 2000).sqrt().item() / 40
    assert abs(levels[0] - log_w.mean().item()) < 4.5 * 2**0.5 * error


def test_says_when_the_bound_has_not_converged(linear_gaussian, split):
    good, bad = linear_gaussian(), linear_gaussian(off=3.0)
    assert not likelihood(good, split, samples=10).notes
    assert not likelihood(bad, split, samples=1).notes  # the ELBO, which is itself
    found = likelihood(bad, split, samples=100)
    (note,) = found.notes
    assert "has not converged" in note
    assert f"{found.values['ess']:.1f} of the 100 draws" in note
    assert 1 <= found.values["ess"] < 10


def test_effective_samples(linear_gaussian, split):
    """(Σ w)² / Σ w² of the same draws."""
    model = linear_gaussian(off=0.4)
    values = likelihood(model, split, samples=50).values
    torch.manual_seed(0)
    with torch.no_grad():
        w = model(split.images / 255, samples=50).log_w.softmax(0)
    assert values["ess"] == pytest.approx((1 / w.square().sum(0)).mean().item())


def test_a_pseudo_likelihood_is_refused(linear_gaussian, split):
    model = linear_gaussian()
    model.likelihood.scores = "loss"
    with pytest.raises(NotApplicable, match="withholds NLL and bits per dimension"):
        likelihood(model, split)


@pytest.fixture
def gated() -> VAE:
    recipe = {
        "data": "shapes",
        "train": {"epochs": 1},
        "model": {"latent_dim": 5, "backbone": {"kind": "gated_mlp", "width": 32}},
    }
    return Recipe.of(recipe).build_model((1, 14, 14)).eval()


def test_bfloat16_is_within_the_standard_error(gated, monkeypatch):
    """The network rounds to eight bits, the probabilities do not; the draws are the same."""
    monkeypatch.setattr(module, "_rows", lambda *_: 1000)
    split = Split((torch.rand(50, 1, 14, 14) < 0.3).byte() * 255)
    full, half = (likelihood(gated, split, samples=200, precision=p).values for p in ("float32", "bfloat16"))
    assert full["iwae"] != half["iwae"]
    assert abs(full["iwae"] - half["iwae"]) < full["iwae_error"]
    assert full["kl"] == half["kl"]


def test_compiling_changes_nothing(gated, monkeypatch, graphs):
    monkeypatch.setattr(module, "_rows", lambda *_: 1000)
    split = Split((torch.rand(20, 1, 14, 14) < 0.3).byte() * 255)
    eager, compiled = (likelihood(gated, split, samples=50, compile=c).values for c in (False, True))
    assert len(graphs) == 1
    assert compiled == pytest.approx(eager, rel=1e-5, abs=1e-4)
