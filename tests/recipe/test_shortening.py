"""Runs that overrides cut: their warm-ups and stages are cut likewise, what was expected is kept and binds no more."""

import json

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import vaelab
from vaelab.data.source import Dataset, Split
from vaelab.errors import UsageError
from vaelab.recipe.recipe import Recipe, as_json
from vaelab.recipe.text import shipped_names
from vaelab.runs.log import Log

BASE = """
expect: {elbo: {at_least: -50}}
data: digits
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}}
objective: {kind: elbo, beta: {kind: linear, epochs: 10, delay_epochs: 4, hold_epochs: 1}, samples: 2}
train: {epochs: 20, batch_size: 4, lr_warmup_epochs: 2, patience: 5, save_every: 2}
"""


@pytest.fixture
def base(tmp_path) -> str:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return str(path)


def images(count: int) -> Dataset:
    split = Split(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), None)
    return Dataset("none", split, split, split)


def test_a_tenth_of_a_run_has_a_tenth_of_its_warm_ups(base):
    recipe, said = Recipe.read(base, ["train.epochs=2", "train.lr=0.1"]).shortened(400)
    assert said == "a run of 2 in place of 20 epochs: objective.beta, train shortened likewise"
    beta = {"kind": "linear", "steps": 100, "delay_steps": 40, "hold_steps": 10}
    assert recipe.options["objective"] == {"kind": "elbo", "beta": beta, "samples": 2}
    assert (
        recipe.options["train"].items() >= {"epochs": 2, "lr_warmup_steps": 20, "patience": 5, "save_every": 2}.items()
    )
    assert recipe.shortened(400) == (recipe, "")


def test_steps_and_epochs_compare(base):
    recipe, said = Recipe.read(base, ["train.steps=1000"]).shortened(400)
    assert recipe.options["objective"]["beta"]["steps"] == 500 and "10 in place of 20 epochs" in said


@pytest.mark.parametrize(
    "override", ["objective.beta.epochs=1", "objective={kind: elbo, beta: {kind: linear, epochs: 1}}"]
)
def test_what_is_chosen_beside_the_length_stays(base, override):
    recipe, _ = Recipe.read(base, ["train.epochs=2", override, "train.lr_warmup_epochs=1"]).shortened(400)
    assert recipe.options["objective"]["beta"]["epochs"] == 1 and recipe.options["train"]["lr_warmup_epochs"] == 1
    kept, _ = Recipe.read(base, ["train.epochs=2", "objective.beta.epochs=5"]).shortened(400)
    with pytest.raises(UsageError, match="its schedules end at epoch 9, but the run has 2 epochs"):
        kept.build_training(images(400))


@pytest.mark.parametrize("overrides", [[], ["train.epochs=20"], ["train.epochs=30"], ["model.latent_dim=2"]])
def test_a_run_that_is_no_shorter_is_as_it_was(base, overrides):
    recipe = Recipe.read(base, overrides)
    assert recipe.shortened(400) == (recipe, "")


def test_a_recipe_that_contradicts_itself_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_text(BASE.replace("epochs: 20", "epochs: 5"))
    recipe, _ = Recipe.read(str(tmp_path / "own.yaml")).shortened(400)
    with pytest.raises(UsageError, match="its schedules end at epoch 14, but the run has 5 epochs"):
        recipe.build_training(images(400))


def test_stages_are_shortened_and_too_short_a_run_is_refused():
    data = images(400)
    cut = Recipe.read("mnist-progressive", ["train.batch_size=4", "train.epochs=6"])
    recipe, said = cut.shortened(400)
    assert recipe.options["model"]["backbone"]["epochs_per_stage"] == 1 and "model.backbone" in said
    recipe.build_training(data, 1, recipe.build_model((1, 32, 32), steps_per_epoch=100))
    recipe, _ = cut.overridden(["train.epochs=2"]).shortened(400)
    with pytest.raises(UsageError, match="the model is complete after epoch"):
        recipe.build_training(data, 1, recipe.build_model((1, 32, 32), steps_per_epoch=100))


@given(
    name=st.sampled_from([n for n in shipped_names() if "progressive" not in n]),
    batches=st.integers(1, 50),
    steps=st.integers(1, 5000),
)
@example(name="mnist-mlp", batches=46, steps=138)
@example(name="static-mnist-vamp", batches=1, steps=1)
@settings(max_examples=60)
def test_every_shipped_recipe_may_be_shortened_to_any_length(name, batches, steps):
    count = batches * Recipe.read(name).options["train"]["batch_size"]
    recipe, _ = Recipe.read(name, [f"train.steps={steps}"]).shortened(count)
    objective, train = recipe.build_training(images(count))
    assert getattr(objective, "settled", 0) <= train.steps == steps


@pytest.mark.parametrize("length", ["train.epochs=1", "train.steps=9"])
def test_the_first_thing_one_tries_trains(length, tmp_path):
    with pytest.warns(UserWarning, match=r"in place of 120 epochs: objective\.beta shortened likewise"):
        run = vaelab.train("digits", length, "train.draw_every=0", run=tmp_path / "run", device="cpu", quiet=True)
    recipe = Recipe.read(str(run))
    assert recipe.options["altered"] == {"epochs": 120, "by": [length]}
    assert Log.read(run / "log.jsonl").rows[-2]["beta"] > 0.8
    vaelab.train(str(run), "train.epochs=2", resume=True, device="cpu", quiet=True)
    assert Recipe.read(str(run)).options["objective"] == recipe.options["objective"]


def test_warm_ups_that_fit_a_shorter_run_stay(base):
    recipe = Recipe.read(base, ["train.epochs=14"])
    objective, _ = recipe.build_training(images(400))
    assert objective.settled <= 14 * 100


def test_what_was_expected_is_kept_with_what_was_altered(base):
    recipe = Recipe.read(base, ["train.epochs=2", "train.seed=3", "model.latent_dim=5"])
    assert recipe.options["expect"] == {"elbo": {"at_least": -50}}
    assert recipe.options["altered"] == {"epochs": 20, "by": ["train.epochs=2", "model.latent_dim=5"]}
    again = recipe.overridden(["train.steps=7", "model.latent_dim=6"])
    by = ["train.epochs=2", "model.latent_dim=6", "train.steps=7"]
    assert again.options["altered"] == {"epochs": 20, "by": by}
    assert Recipe.of(json.loads(as_json(recipe.name, recipe.options))["options"], recipe.name) == recipe


@pytest.mark.parametrize("overrides", [[], ["train.seed=4"], ["track=tensorboard"], ["train.epochs=20"]])
def test_what_is_expected_binds_a_recipe_that_is_as_it_was(base, overrides):
    assert "altered" not in Recipe.read(base, overrides).options


@pytest.mark.parametrize("note", ["3", "[]", "{}", "{by: x}", "{by: [1]}", "{by: [], epochs: x}", "null"])
def test_odd_notes_are_refused(base, note):
    with pytest.raises(UsageError, match="altered: expected what a run notes"):
        Recipe.read(base, [f"altered={note}"])
