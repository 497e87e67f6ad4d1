"""Exemplar prior: its exemplars are training images, all of them judged by and some of them trained with."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent

import vaelab
from vaelab.data.source import Split
from vaelab.distributions.mixture import DiagonalMixture
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import UsageError
from vaelab.priors.exemplar import ExemplarPrior
from vaelab.recipe.recipe import Recipe
from vaelab.registry.schema import build

SHAPE = (1, 2, 2)
TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}, prior: {kind: exemplar, components: 40, per_step: 15}}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 0, lr: 1e-2}
"""


class Seen(nn.Module):
    """The posterior N(pixels, 1), which keeps what it was asked."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Independent:
        self.x, self.y = x, y
        return diagonal_normal(x.flatten(1), torch.zeros_like(x.flatten(1)))


@pytest.fixture
def recipe(tmp_path) -> str:
    """The file of the tiny recipe."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def pixels_of(images: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_exemplars_are_distinct_training_images_and_outlive_the_run(recipe, tmp_path):
    chosen = Recipe.read(recipe)
    data = chosen.load_data()
    begun = chosen.new_model(data).prior.exemplars
    assert len(set(pixels_of(begun))) == 40
    assert set(pixels_of(begun)) <= set(pixels_of(data.train.images))
    run = vaelab.train(recipe, run=tmp_path / "run", device="cpu", quiet=True)
    prior = vaelab.load(run).prior
    assert torch.equal(prior.exemplars, begun) and prior.exemplars.dtype == torch.uint8
    torch.testing.assert_close(prior.pseudo_inputs, begun / 255)
    assert prior.log_std != torch.tensor(0.5).log()  # what is learned


def test_a_step_sees_some_and_evaluation_all():
    prior, posterior = ExemplarPrior(SHAPE, components=50, per_step=20), Seen()
    prior.initialise(Split(torch.randint(256, (80, *SHAPE), dtype=torch.uint8)), 0)
    known = set(pixels_of(prior.exemplars))
    steps = []
    for _ in range(3):
        prior.train()(posterior)
        seen = pixels_of((posterior.x * 255).round().to(torch.uint8))
        assert len(seen) == len(set(seen)) == 20 and set(seen) <= known
        steps.append(set(seen))
    assert steps[0] != steps[1] != steps[2]
    p = prior.eval()(posterior)
    torch.testing.assert_close(posterior.x, prior.pseudo_inputs)
    torch.testing.assert_close(p.means, prior.pseudo_inputs.flatten(1))
    torch.testing.assert_close(p.stds, torch.full((50, 4), 0.5))


@pytest.mark.parametrize(("classes", "components", "per_step"), [(0, 12, 5), (3, 12, 6), (3, 11, 11), (4, 11, 4)])
def test_every_exemplar_is_drawn_as_often_and_no_class_is_empty(agrees, classes, components, per_step):
    prior = ExemplarPrior(SHAPE, classes, conditional=classes > 0, components=components, per_step=per_step)
    drawn = torch.stack([prior._drawn() for _ in range(4000)])
    counts = torch.stack([rows.bincount(minlength=components) for rows in drawn])
    assert counts.shape == (4000, components) and counts.max() == 1
    if not classes:
        agrees(counts, per_step / components)
        return
    of_class = counts @ nn.functional.one_hot(prior.labels)
    assert of_class.min() >= 1 and (of_class.amax(1) - of_class.amin(1)).max() <= 1
    shares = of_class.double().mean(0) / prior.labels.bincount()
    agrees(counts, shares[prior.labels])


@pytest.mark.parametrize(("classes", "components", "per_step"), [(0, 12, 4), (3, 12, 6), (3, 11, 4), (10, 30, 15)])
def test_a_step_is_an_unbiased_estimate_of_the_whole_sum(agrees, classes, components, per_step):
    """Whether or not classes divide what is drawn and what is kept, and however unlike they are."""
    prior, posterior = ExemplarPrior(SHAPE, classes, components=components, per_step=per_step), Seen()
    dark = torch.arange(components) % max(classes, 1) == 0
    prior.exemplars[dark] = prior.exemplars[dark] // 4
    z = torch.rand(5, 4)
    estimates = torch.stack([prior.train()(posterior).log_prob(z).exp() for _ in range(2000)])
    agrees(estimates, prior.eval()(posterior).log_prob(z).exp().detach().double(), precision=1e-6)


def test_a_conditional_prior_has_exemplars_of_the_right_class():
    labels = torch.arange(60) % 3
    images = (80 * labels[:, None, None, None] + torch.randint(20, (60, *SHAPE))).to(torch.uint8)
    prior, posterior = ExemplarPrior(SHAPE, 3, conditional=True, components=20, per_step=7), Seen()
    prior.initialise(Split(images, labels), 0)
    p = prior.train()(posterior)
    assert torch.equal((posterior.x.flatten(1).mean(1) * 255) // 80, posterior.y.float())
    assert isinstance(p, DiagonalMixture) and torch.equal(p.labels, posterior.y)
    assert p.condition(torch.arange(3)).log_prob(torch.randn(3, 4)).isfinite().all()


def test_too_few_images_or_too_few_per_step_are_refused_with_the_fix(recipe, tmp_path):
    run = {"run": tmp_path / "run", "device": "cpu", "quiet": True}
    with pytest.raises(UsageError, match=r"97 components cannot begin at distinct .* there are 96 of them; lower"):
        vaelab.train(recipe, "model.prior.components=97", **run)
    with pytest.raises(UsageError, match=r"per_step must be at most components .*; it is 41 of 40"):
        vaelab.train(recipe, "model.prior.per_step=41", **run)
    assert not (tmp_path / "run").exists()


@torch.no_grad()
def test_a_flow_of_the_posterior_is_left_out():
    """Exemplars are encoded by the base; the flow stays in the KL."""
    encoder = nn.Sequential(nn.Flatten(-3), nn.Linear(4, 6), nn.Tanh())
    flow = {"kind": "flow", "flow": {"kind": "coupling", "layers": 2, "width": 8}}
    posterior = build("posterior", flow, encoder=encoder, x_shape=SHAPE, latent_dim=2)
    prior = ExemplarPrior(SHAPE, components=4, per_step=4).eval()
    means = posterior(prior.pseudo_inputs).base.mean
    torch.testing.assert_close(prior(posterior).means, means)
