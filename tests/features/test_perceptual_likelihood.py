"""The perceptual loss in a likelihood's place: what it adds, what it teaches, and what must not be said of it."""

import copy

import pytest
import torch
from safetensors.torch import load_file

import vaelab
from vaelab.errors import UsageError, VaelabError
from vaelab.likelihoods import perceptual
from vaelab.likelihoods.perceptual import PerceptualLikelihood
from vaelab.registry.schema import build

TINY = """
data: {kind: digits, train_size: 48, valid_size: 16, test_size: 16}
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}}
objective: elbo
train: {epochs: 1, batch_size: 16, draw_every: 0}
"""
KIND = "model.likelihood={kind: perceptual, base: {kind: laplace, scale: 0.2}, weight: 3, net: squeeze}"


@pytest.fixture(autouse=True)
def no_network_of_another_test():
    """The process keeps a network; here each test has its own."""
    perceptual._lpips.cache_clear()
    yield
    perceptual._lpips.cache_clear()


@pytest.fixture
def likelihood() -> PerceptualLikelihood:
    base = {"kind": "laplace", "scale": 0.2}
    return build("likelihood", {"kind": "perceptual", "base": base, "weight": 3, "net": "squeeze"})


@pytest.fixture
def recipe(tmp_path) -> str:
    """The file of the tiny recipe."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_score_is_the_base_minus_the_weighted_distance(random_lpips, likelihood, channels):
    distance = random_lpips("squeeze")
    output, x = torch.randn(2, 3, channels, 12, 9), torch.rand(3, channels, 12, 9)
    p, base = likelihood(output), build("likelihood", {"kind": "laplace", "scale": 0.2})(output)
    expected = base.log_prob(x) - 3 * torch.stack([distance(mean, x) for mean in base.mean])
    assert p.log_prob(x).shape == (2, 3)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-4, atol=1e-3)


def test_means_and_draws_are_the_base_s(likelihood):
    """And need no network at all: there is none here."""
    output = torch.randn(2, 3, 1, 6, 6)
    p, base = likelihood(output), likelihood.base(output)
    assert likelihood.params_per_channel == likelihood.base.params_per_channel
    assert torch.equal(p.mean, base.mean)
    torch.manual_seed(1)
    drawn = p.sample((4,))
    torch.manual_seed(1)
    assert torch.equal(drawn, base.sample((4,))) and drawn.shape == (4, 2, 3, 1, 6, 6)


def test_gradients_reach_the_reconstruction_through_the_network(random_lpips, likelihood):
    distance = random_lpips("squeeze")
    output, x = torch.randn(1, 4, 1, 12, 12, requires_grad=True), torch.rand(4, 1, 12, 12)
    [whole] = torch.autograd.grad(likelihood(output).log_prob(x).sum(), output)
    [of_base] = torch.autograd.grad(likelihood.base(output).log_prob(x).sum(), output)
    mean = likelihood.base(output).mean[0]
    [of_distance] = torch.autograd.grad(distance(mean, x).sum(), output)
    assert all((image != 0).any() for image in of_distance[0])
    torch.testing.assert_close(whole, of_base - 3 * of_distance, rtol=1e-3, atol=1e-4)


def test_the_target_carries_no_graph(random_lpips, likelihood):
    """Not even where the image asks for one; the base's own gradient stays."""
    random_lpips("squeeze")
    output = torch.randn(1, 2, 1, 12, 12, requires_grad=True)
    x = torch.rand(2, 1, 12, 12, requires_grad=True)
    [whole] = torch.autograd.grad(likelihood(output).log_prob(x).sum(), x, retain_graph=True)
    [of_base] = torch.autograd.grad(likelihood.base(output).log_prob(x).sum(), x)
    assert torch.equal(whole, of_base)
    network = perceptual._lpips("squeeze", x.device)
    assert not any(p.requires_grad for p in network.parameters())


def test_a_weight_of_zero_is_the_base(random_lpips):
    random_lpips("squeeze")
    bare = build("likelihood", {"kind": "perceptual", "weight": 0, "net": "squeeze"})
    output, x = torch.randn(1, 2, 1, 12, 12), torch.rand(2, 1, 12, 12)
    assert torch.equal(bare(output).log_prob(x), bare.base(output).log_prob(x))


def test_its_base_is_a_likelihood():
    with pytest.raises(UsageError, match="its base is a likelihood whose mean has a gradient"):
        build("likelihood", {"kind": "perceptual", "base": "perceptual"})


def test_the_network_is_no_part_of_the_model(random_lpips, likelihood, monkeypatch):
    random_lpips("squeeze")
    likelihood(torch.randn(1, 1, 1, 8, 8)).log_prob(torch.rand(1, 1, 8, 8))
    assert likelihood.state_dict().keys() == {f"base.{name}" for name in likelihood.base.state_dict()}
    assert sum(p.numel() for p in likelihood.parameters()) < 10
    made = []
    monkeypatch.setattr(perceptual, "LPIPS", lambda net: made.append(net))
    twin = copy.deepcopy(likelihood)
    assert torch.isfinite(twin(torch.randn(1, 1, 1, 8, 8)).log_prob(torch.rand(1, 1, 8, 8))).all()
    assert made == []  # one network serves all


def test_a_run_is_trained_loaded_and_judged_as_what_it_is(random_lpips, recipe, tmp_path):
    random_lpips("squeeze")
    run = vaelab.train(recipe, KIND, run=tmp_path / "run", device="cpu", quiet=True)
    assert sum(t.numel() for t in load_file(run / "model.safetensors").values()) < 5000  # squeezenet has 700,000
    report = vaelab.evaluate(run, device="cpu", metrics=["likelihood", "ais", "active_units", "reconstruction"])
    assert set(report["unavailable"]) == {"likelihood", "ais"}
    for reason in report["unavailable"].values():
        assert "PerceptualLikelihood is no density of images, which withholds" in reason
    assert "NLL and bits per dimension" in report["unavailable"]["likelihood"]
    assert {"active_units", "reconstruction"} <= report["metrics"].keys()
    names = {name for entry in report["metrics"].values() for name in entry["values"]}
    assert not names & {"elbo", "iwae", "nll", "bits_per_dim", "log_px"}


def test_a_trained_model_is_loaded_and_sampled_without_the_weights(random_lpips, recipe, tmp_path, monkeypatch):
    random_lpips("squeeze")
    run = vaelab.train(recipe, KIND, run=tmp_path / "run", device="cpu", quiet=True)
    perceptual._lpips.cache_clear()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    assert vaelab.load(run).generate(3).shape == (3, 1, 8, 8)
    assert vaelab.sample(run, 3, device="cpu").shape == (3, 1, 8, 8)


def test_missing_weights_end_a_run_before_anything_is_written(recipe, tmp_path):
    with pytest.raises(VaelabError) as error:
        vaelab.train(recipe, KIND, run=tmp_path / "run", device="cpu", quiet=True)
    assert "squeeze" in str(error.value) and "\n" not in str(error.value).strip()
    assert not (tmp_path / "run").exists()
