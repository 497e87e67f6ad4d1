"""Conditional VAEs: what sees the class of an image, and what its distributions then are."""

import itertools
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.data.images import to_floats
from vaelab.data.source import Dataset
from vaelab.errors import UsageError
from vaelab.model import VAE
from vaelab.nn.conditioning import LabelledDecoder, LabelledEncoder
from vaelab.recipe.recipe import Recipe

CLASSES = 10
TINY = """
data: {kind: digits, train_size: 600, valid_size: 64, test_size: 64}
model: {latent_dim: 2, backbone: {kind: mlp, width: 16}, condition: [encoder, decoder, prior]}
objective: elbo
train: {epochs: 2, batch_size: 50, draw_every: 1, lr: 5e-3}
"""
PRIORS = {
    "normal": "normal",
    "mixture": "{kind: mixture, components: 20}",
    "vamp": "{kind: vamp, components: 20}",
    "vamp-kmeans": "{kind: vamp, components: 20, init: kmeans, weights: learned}",
    "exemplar": "{kind: exemplar, components: 30, per_step: 20}",
    "flow": "{kind: flow, flow: {kind: coupling, layers: 2, width: 8}}",
}
POSTERIORS = {
    "gaussian": "gaussian",
    "flow": "{kind: flow, flow: {kind: coupling, layers: 2, width: 8}}",
}
SUBSETS = [list(c) for n in (1, 2, 3) for c in itertools.combinations(("encoder", "decoder", "prior"), n)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> str:
    """The file of the tiny recipe."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture(scope="module")
def data(recipe) -> Dataset:
    return Recipe.read(recipe).load_data()


@pytest.fixture
def built(recipe, data):
    """`built("vamp", ["prior"])`: a new conditional model."""

    def build(prior: str, condition: list[str], posterior: str = "gaussian") -> VAE:
        return Recipe.read(recipe, overrides(prior, condition, posterior)).new_model(data)

    return build


def overrides(prior: str, condition: list[str], posterior: str = "gaussian") -> list[str]:
    context = ["model.prior.flow.context=4"] if prior == "flow" and "prior" in condition else []
    seen = ", ".join(condition)
    chosen = [f"model.prior={PRIORS[prior]}", *context, f"model.posterior={POSTERIORS[posterior]}"]
    return [*chosen, f"model.condition=[{seen}]"]


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory) -> Path:
    """A short training with everything conditional."""
    folder = tmp_path_factory.mktemp("run") / "run"
    return vaelab.train(recipe, *overrides("vamp", SUBSETS[-1]), run=folder, device="cpu", quiet=True)


def shaken(model: VAE) -> VAE:
    """Away from its initial weights, where classes may still be alike."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("images"):
                parameter += 0.3 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("condition", SUBSETS, ids="+".join)
def test_every_combination_has_finite_terms_that_teach_every_part(built, data, prior, condition, posterior):
    model = built(prior, condition, posterior).train()
    assert isinstance(model.posterior.get_submodule(path_of_encoder(model)), LabelledEncoder) == (
        "encoder" in condition
    )
    assert isinstance(model.decoder, LabelledDecoder) == ("decoder" in condition)
    first = data.train[:60]
    terms = model(to_floats(first.images), first.labels, samples=2)
    assert terms.log_px.shape == terms.log_pz.shape == terms.log_qz.shape == (2, 60)
    assert all(t.isfinite().all() for t in (terms.log_px, terms.log_pz, terms.log_qz))
    (terms.log_px + terms.log_pz - terms.log_qz).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    y = torch.tensor([3, 1, 4])
    images = model.eval().generate(3, y)
    assert images.shape == (3, 1, 8, 8) and images.min() >= 0 and images.max() <= 1
    assert model.reconstruct(to_floats(first.images), first.labels).shape == (60, 1, 8, 8)


def path_of_encoder(model: VAE) -> str:
    return "base.encoder" if hasattr(model.posterior, "base") else "encoder"


def log_p_by_class(model: VAE, z: Tensor) -> Tensor:
    """log p(z | y) [C, N] of points z [N, D]."""
    y = torch.arange(CLASSES).repeat_interleave(len(z))
    return model.p_z(y).log_prob(z.repeat(CLASSES, 1)).view(CLASSES, len(z))


@torch.no_grad()
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("prior", PRIORS)
def test_the_prior_is_the_mixture_of_what_it_is_given_each_class(built, prior, posterior):
    model = built(prior, ["prior"], posterior)
    model = (model if prior == "exemplar" else shaken(model)).eval().double()
    z = model.p_z().sample((500,))
    weights = torch.full((CLASSES,), 1 / CLASSES).double()
    if getattr(model.prior, "log_weights", None) is not None:
        weights = torch.zeros(CLASSES).double().index_add(0, model.prior.labels, model.prior.log_weights.softmax(0))
    expected = (log_p_by_class(model, z) + weights.log()[:, None]).logsumexp(0)
    torch.testing.assert_close(model.p_z().log_prob(z), expected)


@torch.no_grad()
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("prior", PRIORS)
def test_given_a_class_density_and_sampler_are_one(built, agrees, prior, posterior):
    """Entropy and mean by the samples are those by integration over the plane."""
    model = shaken(built(prior, ["prior"], posterior)).eval().double()
    drawn = model.p_z(torch.full((20_000,), 3)).sample()
    alone = model.p_z(torch.tensor([3]))
    t = torch.linspace(-8, 8, 301, dtype=torch.float64)
    first, second = torch.cartesian_prod(t, t).unbind(-1)
    points = drawn.mean(0) + drawn.std(0) * torch.stack([first.sinh(), second.sinh()], -1)
    log_p = alone.log_prob(points[:, None]).flatten()
    mass = log_p.exp() * (t[1] - t[0]) ** 2 * first.cosh() * second.cosh() * drawn.std(0).prod()
    torch.testing.assert_close(mass.sum(), torch.tensor(1.0).double(), atol=1e-4, rtol=0)
    agrees(-alone.log_prob(drawn[:, None]).flatten(), -(mass * log_p.clamp(min=-1e9)).sum(), precision=1e-4)
    agrees(drawn, (mass[:, None] * points).sum(0), precision=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("prior", ["normal", "vamp", "exemplar", "flow"])
def test_a_prior_that_does_not_see_classes_is_the_same_given_any(built, prior):
    model = shaken(built(prior, ["encoder", "decoder"])).eval()
    z = torch.randn(5, 2)
    torch.testing.assert_close(model.p_z(torch.tensor([0, 1, 2, 3, 9])).log_prob(z), model.p_z().log_prob(z))


@torch.no_grad()
def test_the_class_reaches_encoder_and_decoder_or_not(built, data):
    x = to_floats(data.train.images[:8])
    y = torch.zeros(8, dtype=torch.int64)
    z = torch.randn(3, 8, 2)
    for condition in SUBSETS:
        model = shaken(built("normal", condition)).eval()
        assert torch.equal(model.q_z(x, y).mean, model.q_z(x, y + 1).mean) == ("encoder" not in condition)
        assert torch.equal(model.p_x(z, y).mean, model.p_x(z, y + 1).mean) == ("decoder" not in condition)
        assert torch.equal(model.p_z(y).log_prob(z), model.p_z(y + 1).log_prob(z)) == ("prior" not in condition)


@torch.no_grad()
def test_each_image_is_decoded_with_its_own_class(built):
    """Whatever leading dimensions z has."""
    model = shaken(built("normal", ["decoder"])).eval()
    z, y = torch.randn(4, 3, 2), torch.tensor([7, 0, 5])
    together = model.p_x(z, y).mean
    for i in range(3):
        alone = model.p_x(z[:, i], y[i]).mean
        torch.testing.assert_close(together[:, i], alone)


@torch.no_grad()
@pytest.mark.parametrize("condition", [["encoder"], ["decoder"], ["encoder", "decoder", "prior"]], ids="+".join)
def test_without_classes_a_conditional_model_says_what_it_needs(built, data, condition):
    model = built("normal", condition)
    with pytest.raises(UsageError, match=r"^this model is conditional; give it the class y of each image"):
        model(to_floats(data.train.images[:4]))


@torch.no_grad()
@pytest.mark.parametrize("condition", SUBSETS, ids="+".join)
@pytest.mark.parametrize(
    "y",
    [torch.tensor([0, 10, 1]), torch.tensor([0, -1, 1]), torch.tensor([1, 2]), torch.tensor([0.0, 1.0, 2.0])],
    ids=["too-large", "negative", "too-few", "no-integers"],
)
def test_generate_refuses_classes_that_are_none(built, condition, y):
    with pytest.raises(UsageError, match=r"y holds 3 classes of 0 to 9, an int64 tensor \[3\]"):
        built("normal", condition).generate(3, y)


@torch.no_grad()
def test_generate_without_classes(built):
    assert built("normal", ["encoder", "prior"]).generate(5).shape == (5, 1, 8, 8)  # of the marginal
    with pytest.raises(UsageError, match="this model is conditional"):
        built("normal", ["decoder"]).generate(5)


def test_data_without_labels_are_refused_before_anything_is_written(recipe, tmp_path):
    (tmp_path / "plain").mkdir()
    for i in range(30):
        Image.new("L", (8, 8), 8 * i).save(tmp_path / "plain" / f"{i}.png")
    with pytest.raises(UsageError, match=r"^model.condition needs the class of each image, and .* has none; leave it"):
        vaelab.train(
            recipe,
            f"data={{kind: folder, path: {tmp_path / 'plain'}, channels: 1, size: 8}}",
            "train.batch_size=4",
            run=tmp_path / "run",
            device="cpu",
            quiet=True,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ("{kind: mixture, components: 9}", "9 components are too few for 10 classes; set components=10"),
        ("{kind: vamp, components: 9}", "9 components are too few for 10 classes; set components=10"),
        ("{kind: exemplar, components: 30, per_step: 9}", "per_step must be .* at least the number of classes, 10"),
        ("{kind: flow}", "a prior that sees the class needs a flow that does; set its flow.context=16"),
        ("{kind: vamp, components: 900}", r"90 components .* of class \d"),
    ],
)
def test_priors_that_cannot_serve_every_class_say_what_would(recipe, tmp_path, prior, said):
    with pytest.raises(UsageError, match=said):
        vaelab.train(recipe, f"model.prior={prior}", run=tmp_path / "run", device="cpu", quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_model_file_alone_is_enough(run):
    model = vaelab.load(run)
    assert model.classes == CLASSES
    torch.manual_seed(0)
    assert model.generate(4, torch.tensor([0, 1, 2, 3])).shape == (4, 1, 8, 8)


def test_evaluation_judges_with_the_class_of_each_image(run):
    report = vaelab.evaluate(run, device="cpu", likelihood={"samples": 5}, extractor="pixels")
    assert {"likelihood", "active_units", "aggregate", "reconstruction"} <= report["metrics"].keys()
    reasons = {
        k: v for k, v in report["unavailable"].items() if k not in ("lpips", "disentanglement", "probe", "elbo_surgery")
    }
    assert not reasons
    ais = vaelab.evaluate(run, device="cpu", metrics=["ais"], ais={"images": 4, "temperatures": 5, "chains": 2})
    assert "ais" in ais["metrics"], ais["unavailable"]


def test_samples_are_of_the_class_that_is_asked_for(run, tmp_path):
    threes = vaelab.sample(run, 6, label=3, device="cpu")
    turns = vaelab.sample(run, 20, device="cpu")
    model = vaelab.load(run)
    torch.manual_seed(0)
    assert torch.equal(threes, model.generate(6, torch.full((6,), 3)))
    assert turns.shape == (20, 1, 8, 8)
    with pytest.raises(UsageError, match="prior sees the class, and that sampler does not; take the sampler prior"):
        vaelab.sample(run, 6, label=3, device="cpu", sampler={"kind": "gmm", "components": 2})
    for label in (10, -1):
        with pytest.raises(UsageError, match=f"there is no class {label}: the model knows 0 to 9"):
            vaelab.sample(run, 6, label=label, device="cpu")
    result = CliRunner().invoke(app, ["sample", str(run), "-n", "4", "--label", "11", "--device", "cpu"])
    assert result.exit_code == 2 and "there is no class 11" in result.output
    result = CliRunner().invoke(app, ["sample", str(run), "-n", "4", "--label", "2", "--device", "cpu"])
    assert result.exit_code == 0, result.output


def test_figures_show_the_classes(run):
    drawn = {path.stem for path in vaelab.workbench.plot(run, device="cpu")}
    assert {"classes", "pseudo_inputs", "traversals", "interpolations", "prior_samples", "latent_space"} <= drawn
    assert (run / "figures" / "epoch_0002_samples.png").exists()


def test_an_unconditional_model_has_no_labels(recipe, tmp_path):
    run = vaelab.train(recipe, "model.condition=[]", "train.epochs=1", run=tmp_path / "run", device="cpu", quiet=True)
    assert vaelab.load(run).classes == 0
    with pytest.raises(UsageError, match="this model is not conditional, so label has no meaning for it; leave it out"):
        vaelab.sample(run, 6, label=3, device="cpu")


@pytest.mark.parametrize("condition", [["decoder"], ["encoder", "decoder", "prior"]], ids="+".join)
def test_labels_steer(recipe, data, tmp_path, condition):
    """The mean of the images of a class is nearer to that class's mean in the data than to any other's."""
    seen = ", ".join(condition)
    chosen = ["model.backbone.width=64", f"model.condition=[{seen}]", "train.epochs=6", "data.train_size=1200"]
    run = vaelab.train(recipe, *chosen, run=tmp_path / "run", device="cpu", quiet=True)
    x, y = to_floats(data.train.images), data.train.labels
    real = torch.stack([x[y == c].mean(0) for c in range(CLASSES)]).flatten(1)
    made = torch.stack([vaelab.sample(run, 100, label=c, device="cpu").mean(0) for c in range(CLASSES)]).flatten(1)
    nearest = torch.cdist(made, real).argmin(1)
    assert (nearest == torch.arange(CLASSES)).sum() >= 8


def test_what_a_class_would_give_away_or_spoil_is_not_measured(run):
    """The encoder is told the class, and the prior sees it; the bound is of images given their class."""
    report = vaelab.evaluate(
        run, device="cpu", metrics=["probe", "elbo_surgery", "likelihood"], likelihood={"samples": 2}
    )
    assert "encoder is given the class" in report["unavailable"]["probe"]
    assert "this one sees the class" in report["unavailable"]["elbo_surgery"]
    assert report["metrics"]["likelihood"]["protocol"]["given"] == "the class of each image"


def test_a_label_for_test_images_is_refused(run):
    result = CliRunner().invoke(app, ["reconstruct", str(run), "--label", "2", "--device", "cpu"])
    assert result.exit_code == 2 and "test images have their own" in result.output


def test_reconstruct_refuses_classes_that_the_model_does_not_know(run):
    model, x = vaelab.load(run), torch.rand(2, 1, 8, 8)
    for y in (torch.tensor([0, 11]), torch.tensor([0]), torch.tensor([0.0, 1.0])):
        with pytest.raises(UsageError, match=r"y holds 2 classes of 0 to 9, an int64 tensor \[2\]"):
            model.reconstruct(x, y)
