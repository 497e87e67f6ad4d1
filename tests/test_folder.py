"""A run folder as it lies there: what it says of itself, whole or half written."""

import json

import pytest
import yaml

from vaelab.errors import UsageError
from vaelab.folder import Folder


def make(folder, rows=(), **recipe):
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Folder.read(folder)


def valid(epoch, best=False, **more):
    at = {"kind": "epoch", "split": "valid", "epoch": epoch, "step": 10 * epoch, "best": best}
    return at | {"loss": 90.0 - epoch} | more


def test_what_it_says_of_itself(tmp_path):
    made = {"name": "tiny", "command": "vaelab train tiny"}
    run = make(tmp_path, [valid(1, True), valid(2, True), valid(3)], data="digits", train={"epochs": 4}, made=made)
    assert (run.recipe, run.data, run.epoch, run.epochs) == ("tiny", "digits", 3, 4)
    assert run.best is not None and run.best["epoch"] == 2 and "made" not in run.options
    assert run.problems == ["there is no model.safetensors: no epoch was finished"]
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert Folder.read(tmp_path / "model.safetensors").path == tmp_path and Folder.read(tmp_path).problems == []


@pytest.mark.parametrize(
    ("train", "epochs"),
    [
        ({"epochs": 4}, 4),
        ({"epochs": 2.5}, 3),
        ({"steps": 40}, 4),
        ({"steps": 41}, 5),
        ({}, None),
        ({"steps": "x"}, None),
    ],
)
def test_how_long_it_was_meant_to_be(tmp_path, train, epochs):
    assert make(tmp_path, [valid(1)], train=train).epochs == epochs


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
        ({}, "of_mine", "−bound"),
        ({"likelihood": {"kind": "perceptual"}}, "elbo", "loss at β = 1"),
    ],
)
def test_what_its_loss_is_called(tmp_path, model, objective, name):
    assert make(tmp_path, model=model, objective=objective).bound == name


def test_parts_have_defaults(tmp_path):
    run = make(tmp_path, model={"backbone": "mlp", "prior": {"kind": "vamp", "components": 5}})
    assert run.part("backbone") == ("mlp", {}) and run.part("likelihood") == ("bernoulli", {})
    assert run.part("prior")[0] == "vamp" and run.part("prior")[1]["components"] == 5


def test_no_run(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        Folder.read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no run"):
        Folder.read(tmp_path)
