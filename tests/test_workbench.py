"""Run folders: what a model file carries, and what evaluation says of it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import vaelab
from vaelab.errors import UsageError
from vaelab.evaluation.evaluate import verdicts
from vaelab.evaluation.measure import finite
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.restore import restore
from vaelab.runs.recipe import StoredRecipe

TINY = """
paper: {title: Größe β, url: https://example.org, differs: [everything]}
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}, likelihood: continuous_bernoulli}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 0, lr: 1e-2}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return vaelab.train(str(folder / "tiny.yaml"), run=folder / "run", device="cpu", quiet=True)


def test_the_package_trains_however_it_was_imported(run):
    assert callable(vaelab.train) and vaelab.train is vaelab.workbench.train
    assert all(getattr(vaelab, name) for name in vaelab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = vaelab.trian


def test_training_says_in_a_line_what_it_was_given(run, tmp_path, capsys):
    vaelab.train(str(run.parent / "tiny.yaml"), "train.epochs=1", run=tmp_path / "run", device="cpu")
    line = "160 grey images of 8 × 8 in 10 classes, split by seed"
    assert capsys.readouterr().err.splitlines()[0] == line


def test_the_model_file_alone_is_enough(run, tmp_path):
    shutil.copy(run / "model.safetensors", tmp_path / "elsewhere.safetensors")
    one, two = vaelab.load(run), vaelab.load(tmp_path / "elsewhere.safetensors")
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(one.reconstruct(x), two.reconstruct(x))
    for model in (one, two):
        assert not model.training and not any(p.requires_grad for p in model.parameters())
    torch.manual_seed(0)
    first = one.generate(3)
    torch.manual_seed(0)
    assert torch.equal(first, two.generate(3))
    assert first.shape == (3, 1, 8, 8) and first.min() >= 0 and first.max() <= 1


def test_a_recipe_is_trained_as_an_object_too(run, tmp_path):
    recipe = vaelab.Recipe.read(run.parent / "tiny.yaml", ["train.epochs=1"])
    first = vaelab.train(recipe, run=tmp_path / "run", device="cpu", quiet=True)
    longer = recipe.overridden(["train.epochs=2"])
    assert vaelab.train(longer, run=first, device="cpu", quiet=True, resume=True) == first
    ours, theirs = load_file(first / "model.safetensors"), load_file(run / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(UsageError, match="may change only train's steps"):
        vaelab.train(recipe, {"train.lr": 1}, run=first, device="cpu", resume=True)


def test_loading_leaves_the_random_numbers_alone(run):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    vaelab.load(run)
    assert torch.equal(torch.rand(3), expected)


def test_the_model_is_the_one_that_was_trained(run):
    model, recipe, x_shape = restore(run)
    saved = load_file(run / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert (recipe.name, x_shape) == ("tiny", (1, 8, 8))
    fresh = Recipe.of(recipe.sections).build_model(x_shape).state_dict()
    assert not all(torch.equal(fresh[name], value) for name, value in saved.items())


def test_the_recipe_in_the_folder_is_resolved_and_says_how_it_was_made(run):
    stored = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    assert stored.pop("made").keys() == {"name", "command", "versions"}
    assert stored["paper"]["title"] == "Größe β"
    assert Recipe.read(str(run)).name == "tiny"
    assert Recipe.of(stored, "tiny") == Recipe.read(str(run.parent / "tiny.yaml"))


def test_evaluation_leaves_the_model_as_it_was_and_repeats(run):
    before = (run / "model.safetensors").read_bytes()
    options = {"likelihood": {"samples": 7, "seed": 3}}
    reports = [vaelab.evaluate(run, metrics=["likelihood"], device="cpu", **options) for _ in range(2)]
    other = vaelab.evaluate(run, metrics=["likelihood"], device="cpu", likelihood={"samples": 7, "seed": 4})
    values = [report["metrics"]["likelihood"]["values"] for report in (*reports, other)]
    assert values[0] == values[1] != values[2]
    assert values[0]["iwae"] >= values[0]["elbo"]
    assert (run / "model.safetensors").read_bytes() == before
    assert reports[0]["metrics"]["likelihood"]["protocol"].items() >= {"samples": 7, "seed": 3}.items()
    assert "density" in reports[0]["notes"][0]


def test_all_mistakes_of_an_evaluation_come_at_once(run):
    with pytest.raises(UsageError) as error:
        vaelab.evaluate(run, metrics=["likelihood", "ssmi"], split="tst", likelihood={"sample": 1})
    said = str(error.value)
    assert "likelihood.sample: unknown option; did you mean 'samples'?" in said
    assert "unknown metric 'ssmi'" in said and "unknown split 'tst'; did you mean 'test'?" in said


def _expecting(expect: dict) -> StoredRecipe:
    return StoredRecipe({"expect": expect})


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        ({"at_most": 2}, True),
        ({"at_most": 1.9}, False),
        ({"at_least": 2}, True),
        ({"at_least": 2.1}, False),
        ({"at_least": 1, "at_most": 3, "samples": 100, "reached": 9}, True),
        ({"value": 2.5, "tolerance": 0.5}, True),
        ({"value": 2.5, "tolerance": 0.4}, False),
        ({"value": 2}, True),
        ({"value": 2, "at_least": 3}, False),
    ],
)
def test_what_was_expected_is_met_or_not(tmp_path, bar, met):
    recipe = _expecting({"elbo": bar, "unknown": {"value": 1}})
    [verdict] = verdicts(recipe, tmp_path, {"likelihood": {"values": {"elbo": 2.0}}})
    assert verdict["name"] == "elbo" and verdict["reached"] == 2.0 and verdict["met"] is met


def test_the_last_epoch_counts_as_train_and_valid(tmp_path):
    rows = [
        {"kind": "epoch", "step": 9, "epoch": 1, "split": split, "loss": loss, "reconstruction": loss - 1, "kl": 1.0}
        for split, loss in (("train", 9.0), ("valid", 8.0), ("train", 7.0), ("valid", 6.0))
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expect = {"train_loss": {"at_most": 7}, "valid_reconstruction": {"value": 5}}
    assert [v["reached"] for v in verdicts(_expecting(expect), tmp_path, {})] == [7.0, 5.0]


def test_numbers_that_json_has_not_become_null():
    nan, inf = float("nan"), float("inf")
    assert finite({"a": [nan, 1, (inf, "NaN")], "b": -inf, "c": 0.5, "d": True}) == {
        "a": [None, 1, [None, "NaN"]],
        "b": None,
        "c": 0.5,
        "d": True,
    }


def test_a_run_begins_with_the_weights_of_another(run, tmp_path):
    tiny, options = str(run.parent / "tiny.yaml"), {"device": "cpu", "quiet": True}
    same = {"train.init": str(run), "train.epochs": 1, "train.lr": 1e-30, "train.ema": 0}
    new = vaelab.train(tiny, same, run=tmp_path / "new", **options)
    one, two = (vaelab.load(folder).state_dict() for folder in (run, new))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    assert Recipe.read(str(new)).options["train"]["init"] == str(run)
    with pytest.raises(
        UsageError, match=r"train\.init: .* holds another model: .* is \[.*\] in it, and \[.*\] in this one"
    ):
        vaelab.train(tiny, same, "model.latent_dim=4", run=tmp_path / "other", **options)
    with pytest.raises(UsageError, match=r"no model\.safetensors in"):
        vaelab.train(tiny, {"train.init": "nowhere"}, run=tmp_path / "other", **options)
    assert not (tmp_path / "other" / "recipe.yaml").exists()


def test_a_loaded_model_learns_on_once_it_is_thawed(run):
    model = vaelab.load(run).train().requires_grad_()
    model(torch.rand(2, 1, 8, 8)).log_px.mean().backward()
    assert all(p.grad is not None for p in model.decoder.parameters())


@pytest.mark.parametrize("metrics", ["likelihood", ["likelihood"], " likelihood , active_units"])
def test_metrics_are_named_in_a_list_or_in_one_text(run, metrics):
    report = vaelab.evaluate(run, metrics=metrics, device="cpu", likelihood={"samples": 2})
    assert {"likelihood"} <= report["metrics"].keys() <= {"likelihood", "active_units"}
    with pytest.raises(UsageError, match="unknown metric 'nll'"):
        vaelab.evaluate(run, metrics="nll")


def test_the_old_name_of_plot_still_draws_and_warns(run):
    with pytest.warns(FutureWarning, match="vaelab.draw is called vaelab.plot now"):
        drawn = vaelab.draw(run, "training_losses", device="cpu")
    assert drawn == vaelab.plot(run, "training_losses", device="cpu")
