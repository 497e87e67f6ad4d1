"""A VAE composed by hand: trained, resumed, loaded, measured, drawn, compared and reported like any other."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import vaelab
from vaelab.backbones.mlp import mlp
from vaelab.cli import app
from vaelab.errors import ComposedByHand, UsageError, VaelabError
from vaelab.likelihoods.bernoulli import BernoulliLikelihood
from vaelab.objectives.elbo import ELBO
from vaelab.posteriors.gaussian import GaussianPosterior
from vaelab.priors.mixture import MixturePrior
from vaelab.priors.normal import NormalPrior
from vaelab.priors.vamp import VampPrior
from vaelab.runs.folder import RunFolder
from vaelab.training.options import TrainOptions

SHAPE, FAST = (1, 8, 8), {"batch_size": 16, "draw_every": 2}
X = np.random.default_rng(0).integers(0, 2, (120, 8, 8)).astype(np.float32)


def compose(prior=None, latent_dim: int = 3, width: int = 16, classes: int = 0) -> vaelab.VAE:
    torch.manual_seed(0)
    encoder, decoder = mlp(SHAPE, latent_dim, 1, width=width)
    posterior = GaussianPosterior(encoder, SHAPE, latent_dim)
    return vaelab.VAE(prior or NormalPrior(latent_dim), posterior, decoder, BernoulliLikelihood(), classes)


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


@pytest.fixture
def fit(tmp_path):
    """`fit("a", {"epochs": 2}, data=…)` into the folder a."""

    def run(name, options=(), model=None, objective="elbo", data=X, **choice):
        model = model or compose()
        return vaelab.fit(
            model, objective, data, FAST | dict(options), run=tmp_path / name, device="cpu", quiet=True, **choice
        )

    return run


def test_a_model_composed_by_hand_is_an_ordinary_run(fit):
    model = compose()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = fit("a", {"epochs": 2}, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and model.training
    found = RunFolder.read(run)
    assert found.recipe.by_hand and found.state.word == "done" and found.epochs == 2 and not found.problems
    assert {path.name for path in run.glob("figures/*")} == {
        f"epoch_0002_{n}.png" for n in ("samples", "reconstructions")
    }
    restored = vaelab.load(run, model=compose(NormalPrior(3)))
    assert all(torch.equal(value, weights(run)[name]) for name, value in restored.state_dict().items())
    assert not restored.training and vaelab.sample(run, 4, model=model, device="cpu").shape == (4, *SHAPE)
    report = vaelab.evaluate(run, model=model, data=X, metrics="likelihood,active_units", device="cpu")
    assert report["digest"] == found.recipe.section("data")["images"] and report["images"] == 12
    assert report["notes"] == [] and np.isfinite(report["metrics"]["likelihood"]["values"]["iwae"])
    drawn = vaelab.plot(run, "reconstructions", "training_losses", model=model, data=X, device="cpu")
    assert {path.stem for path in drawn} == {"reconstructions", "training_losses"}
    with pytest.warns(UserWarning, match="composed by hand and is not given, so only figures of the log"):
        assert vaelab.plot(run, "training_losses")


@pytest.mark.parametrize("options", [FAST, {**FAST, "lr_schedule": "cosine", "lr_warmup_epochs": 1}])
def test_a_resumed_fit_equals_an_uninterrupted_one(fit, options):
    vamp = lambda: compose(VampPrior(SHAPE, components=5))  # noqa: E731
    whole = fit("whole", {**options, "steps": 24}, vamp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaelab.evaluation.stages.draw_epoch", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit("half", {**options, "steps": 24}, vamp())
    half = vaelab.fit(vamp(), data=X, run=whole.parent / "half", device="cpu", quiet=True, resume=True)
    assert all(torch.equal(value, weights(half)[name]) for name, value in weights(whole).items())


def test_a_longer_length_may_be_given_alone(fit):
    whole, half = fit("whole", {"epochs": 3}), fit("half", {"epochs": 1})
    vaelab.fit(compose(), data=X, options={"epochs": 3}, run=half, device="cpu", quiet=True, resume=True)
    assert all(torch.equal(value, weights(half)[name]) for name, value in weights(whole).items())
    assert not (half / "training.lock").exists()


def test_where_the_model_is_not_known_one_sentence_says_so(fit):
    run = fit("a", {"epochs": 1})
    said = f"{run} was composed by hand, so its recipe does not say its model; build it again and give it as model"
    for act in (vaelab.load, vaelab.evaluate, vaelab.sample):
        with pytest.raises(ComposedByHand) as error:
            act(run)
        assert str(error.value) == said
    with pytest.raises(ComposedByHand, match="does not say its data; give them again as data"):
        vaelab.evaluate(run, model=compose(), device="cpu")
    with pytest.raises(
        UsageError, match=r"holds another model: .* is \[16, 64\] in it, and \[8, 64\] in this one; build"
    ):
        vaelab.load(run, model=compose(width=8))
    with pytest.raises(UsageError, match="was composed by hand"):
        vaelab.train(run=run, resume=True)
    for words in (["evaluate"], ["sample"], ["train", "--resume", "--run"]):
        result = CliRunner().invoke(app, [*words, str(run)])
        assert result.exit_code == 2 and result.stderr.startswith(f"error: {run}"), result.output
        assert "was composed by hand" in result.stderr and result.stderr.count("\n") == 1


def test_report_runs_and_compare_need_no_model(fit, tmp_path):
    runs = [fit(name, {"epochs": 1, "seed": seed}) for seed, name in enumerate("ab")]
    for run in runs:
        vaelab.evaluate(run, model=compose(), data=X, metrics="likelihood", device="cpu", likelihood={"samples": 4})
        result = CliRunner().invoke(app, ["report", str(run)])
        assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["runs", str(tmp_path)])
    assert result.exit_code == 0 and "arrays" in result.stdout and "fit" in result.stdout, result.output
    assert "iwae" in vaelab.compare(runs, out=tmp_path / "comparison", device="cpu").text


def test_a_registered_set_is_remembered_and_so_is_a_dataset_as_one(fit):
    few = {"kind": "digits", "train_size": 64, "valid_size": 16, "test_size": 16}
    run = fit("a", {"epochs": 1}, data=few)
    assert vaelab.evaluate(run, model=compose(), metrics="active_units", device="cpu")["data"] == "digits"
    labelled = vaelab.data.load("digits", train_size=64)
    run = fit(
        "b",
        {"epochs": 1},
        compose(MixturePrior(3, components=10, classes=10, conditional=True), classes=10),
        data=labelled,
    )
    assert isinstance(labelled, vaelab.Dataset) and RunFolder.read(run).recipe.data == "digits"


def test_an_objective_is_a_name_a_part_or_any_callable(fit):
    def mine(terms, step):
        return -terms.log_px.mean() + terms.rate.mean(), {}

    objectives = ["iwae", {"kind": "elbo", "beta": 0.5}, ELBO(64), mine]
    kinds = [RunFolder.read(fit(str(i), {"epochs": 1}, objective=o)).recipe.objective for i, o in enumerate(objectives)]
    assert kinds == ["iwae", "elbo", "elbo", "mine"]
    run = fit("options", TrainOptions(steps=3, batch_size=8).__dict__)
    assert json.loads((run / "state.json").read_text())["state"] == "done"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"data": None}, "there are no images to train on; give data"),
        (
            {"data": X * 2 - 1},
            "bernoulli is a probability of levels, and these images have real values; set model.likelihood=normal",
        ),
        ({"data": X[0]}, r"the array of train images is \[8, 8\], and a set is \[N, H, W\] or \[N, C, H, W\]"),
        ({"data": X[:, :7]}, "these parts do not go together: "),
        ({"data": "mnits"}, "did you mean 'mnist'"),
        (
            {"model": torch.nn.Linear(2, 2)},
            r"the model is a Linear; compose a VAE\(prior, posterior, decoder, likelihood\)",
        ),
        ({"model": compose(classes=3)}, "the model sees 3 classes, and the images have no labels; give"),
        ({"model": compose().requires_grad_(False)}, "no parameter of the model requires a gradient; thaw it"),
        ({"objective": "elob"}, "did you mean 'elbo'"),
        ({"objective": lambda terms, step: terms.log_px}, "the objective returns a tensor"),
        ({"objective": ELBO}, "the objective is the class ELBO; give one made of it, or its name"),
        ({"options": {"lrr": 1}}, "options.lrr: unknown option; did you mean 'lr'"),
        ({"options": {"lr": -1, "epochs": 1}}, "options.lr: expected greater than 0"),
        ({"options": {"epochs": 1, "steps": 9}}, "options: give steps or epochs, not both"),
        ({"options": {"batch_size": 1000}}, "batch_size 1000 exceeds the 96 training images; try 96 or fewer"),
    ],
)
def test_a_mistake_gets_a_sentence_and_leaves_no_folder(fit, tmp_path, choice, said):
    with pytest.raises(VaelabError, match=said) as error:
        fit("a", **choice)
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not (tmp_path / "a").exists()


def test_a_run_is_resumed_with_its_own_images_options_and_function(fit, tmp_path):
    run = fit("a", {"epochs": 1})
    with pytest.raises(UsageError, match=r"was trained on 96 .*, and now there are 96"):
        fit("a", {"epochs": 2}, data=1 - X, resume=True)
    for choice in ({"options": {"lr": 1}}, {"objective": "iwae"}):
        with pytest.raises(
            UsageError, match="trained with another recipe; a resumed run may change only train's steps"
        ):
            fit("a", **choice, resume=True)
    with pytest.raises(UsageError, match="its weights are not those of this model"):
        fit("a", {"epochs": 2}, compose(width=8), resume=True)
    with pytest.raises(UsageError, match="holds a run already"):
        fit("a", {"epochs": 2})
    with pytest.raises(UsageError, match="nothing to resume"):
        fit("b", resume=True)
    other = vaelab.train("digits", "train.epochs=1", "objective=elbo", run=tmp_path / "c", device="cpu", quiet=True)
    with pytest.raises(UsageError, match=r"c holds a run of the recipe 'digits'; resume it with vaelab.train"):
        fit(other, resume=True)
    fit("a", {"epochs": 2}, resume=True)
    assert len(RunFolder.read(run).log.valid) == 2
