"""A run folder as it lies there: what it says of itself, whole or half written."""

import json

import pytest
import torch
import yaml
from safetensors.torch import save_file

from vaelab.errors import UsageError
from vaelab.registry.schema import Part
from vaelab.runs.folder import RunFolder


def make(folder, rows=(), **recipe):
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunFolder.read(folder)


def valid(epoch, best=False, **more):
    at = {"kind": "epoch", "split": "valid", "epoch": epoch, "step": 10 * epoch, "best": best}
    return at | {"loss": 90.0 - epoch} | more


def test_what_it_says_of_itself(tmp_path):
    made = {"name": "tiny", "command": "vaelab train tiny"}
    run = make(tmp_path, [valid(1, True), valid(2, True), valid(3)], data="digits", train={"epochs": 4}, made=made)
    assert (run.recipe.name, run.recipe.data, run.log.epoch, run.epochs) == ("tiny", "digits", 3, 4)
    assert run.log.best is not None and run.log.best["epoch"] == 2 and "made" not in run.recipe.sections
    assert run.problems == ["there is no model.safetensors, so nothing can be measured or sampled"]
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert RunFolder.read(tmp_path / "model.safetensors").path == tmp_path and RunFolder.read(tmp_path).problems == []


@pytest.mark.parametrize(
    ("train", "epochs"),
    [
        ({"epochs": 4}, 4),
        ({"epochs": 2.5}, 3),
        ({"steps": 40}, 4),
        ({"steps": 41}, 5),
        ({}, None),
        ({"steps": "x"}, None),
        ({"epochs": float("nan")}, None),
        ({"epochs": float("inf")}, None),
        ({"steps": 10**400}, None),
    ],
)
def test_how_long_it_was_meant_to_be(tmp_path, train, epochs):
    assert make(tmp_path, [valid(1)], train=train).epochs == epochs


def test_a_shortened_run_is_not_longer_than_it_was_meant_to_be(tmp_path):
    assert make(tmp_path, [valid(n) for n in range(1, 10)], train={"epochs": 3}).epochs == 9


def test_why_there_is_no_model(tmp_path):
    grown = [valid(1), valid(1) | {"split": "train", "resolution": 4.0}]
    why = {"state": "stopped", "reason": "stopped at step 9"}
    assert make(tmp_path).problems[-1] == "there is no model.safetensors: no epoch was finished"
    for rows, state, said in (
        (grown, why, "keeps its weights once all stages are there; resume it"),
        (grown, {}, "keeps its weights once all stages are there"),
        ([valid(1)], why, "so nothing can be measured or sampled"),
    ):
        (tmp_path / "state.json").write_text(json.dumps(state))
        assert make(tmp_path, rows, train={"epochs": 9}).problems[-1].endswith(said)


def test_images_of_a_folder_go_by_its_name(tmp_path):
    assert make(tmp_path, data={"kind": "folder", "path": "/photos/cats/"}).recipe.data == "cats"
    assert make(tmp_path, data={"kind": "folder"}).recipe.data == "folder"


@pytest.mark.parametrize(("size", "levels"), [(8, []), ([4, 8], [4, 8]), ("x", []), ([4, "x"], [])])
def test_levels_of_latents(tmp_path, size, levels):
    assert make(tmp_path, model={"latent_dim": size}).recipe.levels == levels


@pytest.mark.parametrize(
    ("train", "epochs", "word"),
    [
        ({"epochs": 3}, 3, "done"),
        ({"epochs": 9}, 3, "running"),
        ({"epochs": 9, "patience": 2}, 3, "done"),
        ({}, 3, "running"),
    ],
)
def test_older_runs_have_no_state_and_are_judged_by_their_length(tmp_path, train, epochs, word):
    rows = [valid(n, best=n == 1) for n in range(1, epochs + 1)]
    assert make(tmp_path, rows, train=train).state.word == word


@pytest.mark.parametrize(
    ("model", "objective", "name"),
    [
        ({}, "elbo", "−ELBO"),
        ({}, {"kind": "iwae", "samples": 5}, "−IWAE bound"),
        ({}, "mine", "−bound of mine"),
        ({"likelihood": {"kind": "perceptual"}}, "elbo", "loss at β = 1"),
    ],
)
def test_what_its_loss_is_called(tmp_path, model, objective, name):
    assert make(tmp_path, model=model, objective=objective).recipe.bound == name


def test_parts_have_defaults(tmp_path):
    run = make(tmp_path, model={"backbone": "mlp", "prior": {"kind": "vamp", "components": 5}})
    assert run.recipe.part("backbone") == Part("mlp") and run.recipe.part("likelihood") == Part("bernoulli")
    assert run.recipe.part("prior") == Part("vamp", {"components": 5})


def test_no_run(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        RunFolder.read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no run"):
        RunFolder.read(tmp_path)
