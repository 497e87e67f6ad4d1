"""VampPrior: where pseudo-inputs begin, where they may go, and what batch normalisation and flows make of them."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.data.source import Dataset, Split
from vaelab.distributions.latent import rsample_and_log_prob
from vaelab.distributions.pushforward import Pushforward
from vaelab.errors import UsageError
from vaelab.model import VAE
from vaelab.priors.vamp import VampPrior
from vaelab.recipe.recipe import Recipe
from vaelab.registry.schema import build
from vaelab.roles import Posterior
from vaelab.training.process_group import ProcessGroup
from vaelab.training.step import TrainState

SHAPE = (1, 4, 4)
TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 4, backbone: {kind: mlp, width: 16}, prior: {kind: vamp, components: 12}}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 0, lr: 1e-2}
"""
FLOW = {"kind": "coupling", "layers": 2, "width": 8}


@pytest.fixture
def recipe(tmp_path) -> str:
    """The file of the tiny recipe."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def pixels_of(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def in_bytes(prior: VampPrior) -> Tensor:
    return (prior.pseudo_inputs.detach() * 255).round().to(torch.uint8)


def doubled(count: int) -> Tensor:
    """So many images, each of them twice."""
    return torch.randint(256, (count, *SHAPE), dtype=torch.uint8).repeat(2, 1, 1, 1)


def test_init_data_gives_distinct_training_images():
    images = doubled(30)
    for seed in (0, 1):
        prior = VampPrior(SHAPE, components=30)
        prior.initialise(Split(images), seed)
        assert len(pixels_of(in_bytes(prior))) == 30
        assert pixels_of(in_bytes(prior)) == pixels_of(images)  # to the byte
    few = [VampPrior(SHAPE, components=5) for _ in range(3)]
    for prior, seed in zip(few, (0, 0, 1), strict=True):
        prior.initialise(Split(images), seed)
    assert torch.equal(few[0].images, few[1].images) and not torch.equal(few[0].images, few[2].images)


def test_init_kmeans_gives_the_centres_of_clusters():
    planted = torch.randint(30, 226, (6, *SHAPE))
    images = (planted.repeat(50, 1, 1, 1) + torch.randint(-8, 9, (300, *SHAPE))).to(torch.uint8)
    prior = VampPrior(SHAPE, components=40, init="kmeans")
    prior.initialise(Split(images), 0)
    assert len(pixels_of(in_bytes(prior))) == 40
    assert prior.pseudo_inputs.min() >= 0 and prior.pseudo_inputs.max() <= 1
    gaps = torch.cdist(prior.pseudo_inputs.flatten(1), planted.flatten(1) / 255)
    assert gaps.amin(1).max() < 4 * 8 / 255  # √16 pixels of at most 8 levels
    assert len(gaps.argmin(1).unique()) == 6


def test_kmeans_begins_at_distinct_images_so_that_as_many_components_as_images_are_all_different():
    prior = VampPrior(SHAPE, components=30, init="kmeans")
    prior.initialise(Split(doubled(30)), 0)
    assert len(pixels_of(in_bytes(prior))) == 30


def test_init_random_has_the_stated_mean_and_spread(agrees):
    prior = VampPrior((1, 20, 20), components=200, init="random", mean=0.3, spread=0.02)
    before = prior.images.clone()
    prior.initialise(Split(doubled(3)), 0)  # more components than images: nothing is taken from them
    assert torch.equal(prior.images, before)
    agrees(before.flatten(), 0.3)
    agrees((before.flatten() - 0.3).square(), 0.02**2)


@pytest.mark.parametrize("init", ["data", "kmeans"])
def test_more_components_than_distinct_images_are_refused_with_the_fix(init):
    prior = VampPrior(SHAPE, components=31, init=init)
    with pytest.raises(UsageError) as error:
        prior.initialise(Split(doubled(30)), 0)
    assert str(error.value) == (
        "31 components cannot begin at distinct training images, there are 30 of them; lower model.prior.components, "
        "or give a vamp prior model.prior.init=random"
    )


def test_a_run_with_too_many_components_ends_before_anything_is_written(recipe, tmp_path):
    run = tmp_path / "run"
    options = ["model.prior.components=97", "--run", str(run), "--device", "cpu"]
    result = CliRunner().invoke(app, ["train", recipe, *options], env={"COLUMNS": "300"})
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert "97 components cannot begin at distinct training images, there are 96" in " ".join(result.output.split())
    assert not run.exists()
    vaelab.train(
        recipe,
        "model.prior.components=97",
        "model.prior.init=random",
        "train.epochs=1",
        run=run,
        device="cpu",
        quiet=True,
    )
    assert vaelab.load(run).prior.pseudo_inputs.shape == (97, 1, 8, 8)


def test_components_may_exceed_the_batch(recipe, tmp_path):
    run = vaelab.train(recipe, "model.prior.components=90", run=tmp_path / "run", device="cpu", quiet=True)
    assert len(pixels_of(in_bytes(vaelab.load(run).prior))) == 90


@pytest.mark.parametrize("init", ["data", "kmeans"])
def test_a_conditional_prior_takes_images_of_the_right_class(init):
    labels = torch.arange(60) % 3
    images = (80 * labels[:, None, None, None] + torch.randint(20, (60, *SHAPE))).to(torch.uint8)
    prior = VampPrior(SHAPE, 3, conditional=True, components=10, init=init)
    prior.initialise(Split(images, labels), 0)
    assert torch.equal((255 * prior.pseudo_inputs.detach().flatten(1)).mean(1) // 80, prior.labels.float())
    assert prior.labels.bincount().tolist() == [4, 3, 3]
    assert len(pixels_of(in_bytes(prior))) == 10


def test_pseudo_inputs_stay_in_the_range_of_data_and_come_back_from_its_bounds():
    """A pixel beyond a bound moves as soon as the gradient leads inwards; outwards it has none."""
    prior = VampPrior(SHAPE, components=4, init="random", mean=0.5, spread=2.0)
    beyond = prior.images.detach().clone()
    assert (beyond < 0).any() and (beyond > 1).any()
    assert prior.pseudo_inputs.min() == 0 and prior.pseudo_inputs.max() == 1
    for sign in (1.0, -1.0):
        prior.images.grad = None
        (sign * prior.pseudo_inputs).sum().backward()
        outward = (beyond <= 0) if sign > 0 else (beyond >= 1)
        assert torch.equal(prior.images.grad, torch.where(outward, 0.0, sign))


def test_no_pseudo_input_dies_at_the_bounds():
    """Driven to one bound and then asked for the other, all arrive, also those that began beyond."""
    prior = VampPrior(SHAPE, components=4, init="random", mean=0.5, spread=2.0)
    optimizer = torch.optim.Adam(prior.parameters(), 0.1)
    for target in (-3.0, 3.0, 0.25):
        for _ in range(200):
            optimizer.zero_grad()
            (prior.pseudo_inputs - target).square().sum().backward()
            optimizer.step()
        aim = torch.full_like(prior.images, min(max(target, 0.0), 1.0))
        torch.testing.assert_close(prior.pseudo_inputs.detach(), aim, atol=0.05, rtol=0)


def test_training_keeps_them_in_range_and_moves_them(recipe, tmp_path):
    run = vaelab.train(recipe, "train.lr=0.1", run=tmp_path / "run", device="cpu", quiet=True)
    chosen = Recipe.read(recipe)
    begun, ended = chosen.new_model(chosen.load_data()).prior.pseudo_inputs, vaelab.load(run).prior.pseudo_inputs
    assert ended.min() >= 0 and ended.max() <= 1
    assert ((ended - begun).abs().flatten(1).amax(1) > 0.01).all()


def train_state(model: VAE, data: Dataset, *overrides: str, recipe: str) -> TrainState:
    objective, options = Recipe.read(recipe, overrides).build_training(data)
    return TrainState(model, objective, data.augment, options, ProcessGroup(0, 1, torch.device("cpu")))


@pytest.mark.parametrize("weights", ["uniform", "learned"])
def test_weight_decay_spares_them(recipe, weights):
    """With a rate so small that nothing else moves, weights of the network shrink and pseudo-inputs do not."""
    overrides = ["train.lr=1e-6", "train.weight_decay=1e5", f"model.prior.weights={weights}"]
    chosen = Recipe.read(recipe, overrides)
    data = chosen.load_data()
    model = chosen.new_model(data)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_state(model, data, *overrides, recipe=recipe).step(data.train.images[:16], 0)
    for name, p in model.named_parameters():
        if name.startswith("prior."):
            assert (p - before[name]).abs().max() < 2e-6, name
        elif p.dim() > 1:
            assert (p - 0.9 * before[name]).abs().max() < 1e-5, name


@pytest.fixture
def shaped() -> SimpleNamespace:
    """A posterior with a flow, away from the identity, and images."""
    encoder = nn.Sequential(nn.Flatten(-3), nn.Linear(16, 8), nn.Tanh())
    posterior = build("posterior", {"kind": "flow", "flow": FLOW}, encoder=encoder, x_shape=SHAPE, latent_dim=4)
    with torch.no_grad():
        for p in posterior.double().parameters():
            p += 0.3 * torch.randn_like(p)
    return SimpleNamespace(posterior=posterior, x=torch.rand(5, *SHAPE).double())


def test_a_flow_shared_by_posterior_and_prior_cancels(shaped):
    """log q(z) − log p(z) is that of the bases at the u that was drawn, draw by draw; and so are its gradients."""
    prior = VampPrior(SHAPE, components=7, init="random").double()
    q, p = shaped.posterior(shaped.x), prior(shaped.posterior)
    assert isinstance(p, Pushforward) and p.flow is q.flow
    torch.manual_seed(1)
    z, log_qz = rsample_and_log_prob(q, 50)
    torch.manual_seed(1)
    u = q.base.rsample((50,))
    rate, of_bases = log_qz - p.log_prob(z), q.base.log_prob(u) - p.base.log_prob(u)
    torch.testing.assert_close(rate, of_bases, rtol=1e-9, atol=1e-9)
    moved = torch.autograd.grad(rate.sum(), list(shaped.posterior.flow.parameters()))
    assert max(g.abs().max() for g in moved) < 1e-6


def test_of_base_leaves_the_flow_in_the_kl(shaped):
    prior = VampPrior(SHAPE, components=7, init="random", of="base").double()
    q, p = shaped.posterior(shaped.x), prior(shaped.posterior)
    z, log_qz = rsample_and_log_prob(q, 50)
    expected = torch.stack(
        [shaped.posterior(u[None]).base.log_prob(z) for u in prior.pseudo_inputs],
    ).squeeze(-1)
    torch.testing.assert_close(p.log_prob(z), expected.logsumexp(0) - torch.tensor(7.0).double().log())
    moved = torch.autograd.grad((log_qz - p.log_prob(z)).sum(), list(shaped.posterior.flow.parameters()))
    assert all(g.abs().max() > 1e-6 for g in moved)


def test_of_posterior_is_the_mixture_of_whole_posteriors(shaped):
    prior = VampPrior(SHAPE, components=7, init="random", weights="learned").double()
    with torch.no_grad():
        prior.log_weights.normal_()
    z = prior(shaped.posterior).sample((20,))
    each = torch.stack([shaped.posterior(u[None]).log_prob(z[:, None])[:, 0] for u in prior.pseudo_inputs])
    expected = (each + prior.log_weights.log_softmax(0)[:, None]).logsumexp(0)
    torch.testing.assert_close(prior(shaped.posterior).log_prob(z), expected)


def test_a_flow_with_context_needs_the_mixture_of_bases(recipe, tmp_path):
    posterior = "model.posterior={kind: flow, flow: {kind: coupling, layers: 2, width: 8, context: 3}}"
    with pytest.raises(UsageError) as error:
        vaelab.train(recipe, posterior, run=tmp_path / "run", device="cpu", quiet=True)
    said = str(error.value)
    assert said.startswith("these parts do not go together: a flow with context would have to be inverted once for")
    assert "set model.prior.of=base" in said and "\n" not in said
    assert not (tmp_path / "run").exists()
    run = vaelab.train(
        recipe, posterior, "model.prior.of=base", "train.epochs=1", run=tmp_path / "run", device="cpu", quiet=True
    )
    assert vaelab.load(run).generate(3).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("of", ["base", "posterior"])
def test_a_run_with_a_flow_is_evaluated_and_drawn(recipe, tmp_path, of):
    posterior = "model.posterior={kind: flow, flow: {kind: coupling, layers: 2, width: 8}}"
    run = vaelab.train(recipe, posterior, f"model.prior.of={of}", run=tmp_path / "run", device="cpu", quiet=True)
    metrics = ["likelihood", "active_units", "aggregate", "reconstruction"]
    report = vaelab.evaluate(run, device="cpu", metrics=metrics, likelihood={"samples": 5})
    assert not report["unavailable"]
    assert "pseudo_inputs" in {path.stem for path in vaelab.workbench.plot(run, "pseudo_inputs", device="cpu")}


@pytest.fixture(params=["vamp", "exemplar"])
def normalised(request) -> SimpleNamespace:
    """A model with batch normalisation, a few steps into training on images unlike its pseudo-inputs."""
    images, shape = torch.randint(256, (64, 1, 32, 32), dtype=torch.uint8) // 4, (1, 32, 32)
    encoder, decoder = build(
        "backbone", {"kind": "vampalign_resnet", "width": 4}, x_shape=shape, latent_dim=3, out_channels=1
    )
    posterior = build("posterior", "gaussian", encoder=encoder, x_shape=shape, latent_dim=3)
    options = {"vamp": {"components": 9}, "exemplar": {"components": 9, "per_step": 9}}[request.param]
    prior = build("prior", {"kind": request.param, **options}, x_shape=shape)
    prior.initialise(Split(images + 128), 0)
    model = VAE(prior, posterior, decoder, build("likelihood", "bernoulli", x_shape=shape))
    return SimpleNamespace(model=model, images=images)


def trained(model: VAE, images: Tensor, steps: int = 4) -> VAE:
    optimizer = torch.optim.Adam(model.train().parameters(), 1e-3)
    for step in range(steps):
        terms = model(images[16 * step : 16 * step + 16].float() / 255)
        optimizer.zero_grad()
        (-terms.log_w.mean()).backward()
        optimizer.step()
    return model


@torch.no_grad()
def test_batch_normalisation_gives_train_and_eval_the_same_prior(normalised):
    with torch.enable_grad():
        model = trained(normalised.model, normalised.images)
    z = torch.randn(40, 3)
    in_training = model.train().p_z().log_prob(z)
    assert model.posterior.encoder.training and all(m.training for m in model.posterior.modules())
    assert torch.equal(model.eval().p_z().log_prob(z), in_training)
    x = normalised.images[:16].float() / 255
    assert not torch.equal(model.train().q_z(x).mean, model.eval().q_z(x).mean)  # data are normalised by the batch


@torch.no_grad()
def test_pseudo_inputs_never_enter_the_running_statistics(normalised):
    model = normalised.model.train()
    before = {name: b.clone() for name, b in model.posterior.named_buffers()}
    assert any("running_mean" in name for name in before)
    model.p_z().sample((5,))
    assert all(torch.equal(b, before[name]) for name, b in model.posterior.named_buffers())
    x = normalised.images[:16].float() / 255
    model.q_z(x)  # once with the data alone, then with the prior
    alone = {name: b.clone() for name, b in model.posterior.named_buffers()}
    for name, b in model.posterior.named_buffers():
        b.copy_(before[name])
    model(x)
    assert all(torch.equal(b, alone[name]) for name, b in model.posterior.named_buffers())
    assert not all(torch.equal(b, before[name]) for name, b in model.posterior.named_buffers())


def test_layers_that_are_frozen_stay_frozen(normalised):
    """A user's own choice of eval mode for a layer outlives the prior's."""
    layers = [m for m in normalised.model.train().posterior.modules() if isinstance(m, nn.BatchNorm2d)]
    layers[0].eval()
    normalised.model.p_z()
    assert [m.training for m in layers] == [False] + [True] * (len(layers) - 1)


def test_a_posterior_that_is_no_gaussian_is_refused():
    def laplace(x: Tensor, y: Tensor | None = None) -> torch.distributions.Distribution:
        return torch.distributions.Independent(torch.distributions.Laplace(x.flatten(1), 1.0), 1)

    class OfLaplace(Posterior):
        def forward(self, x, y=None):
            return laplace(x, y)

    with pytest.raises(ValueError, match="made of diagonal Gaussian posteriors, not Independent"):
        VampPrior(SHAPE, components=3)(OfLaplace())
