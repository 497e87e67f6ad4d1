"""A recipe trained on images at hand: an ordinary run, which asks for the images where it needs them."""

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.errors import ChangedRecipe, ComposedByHand, UsageError, VaelabError
from vaelab.runs.folder import RunFolder
from vaelab.runs.recipe import StoredRecipe

TINY = """
data: {kind: digits, binarise: dynamic, resize: 16}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}}
train: {epochs: 1, batch_size: 16, draw_every: 1}
expect: {elbo: {at_least: 0}}
"""
X = np.random.default_rng(0).integers(0, 256, (120, 8, 8)).astype(np.uint8)
AGAIN = "{} was trained on images at hand, so its recipe does not say its data; give them again as data"


@pytest.fixture
def recipe(tmp_path) -> str:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return str(tmp_path / "tiny.yaml")


@pytest.fixture
def train(recipe, tmp_path):
    """`train("a", "train.epochs=2", data=…)` into the folder a."""

    def run(name, *overrides, data=X, what=recipe, **choice):
        return vaelab.train(what, *overrides, data=data, run=tmp_path / name, device="cpu", quiet=True, **choice)

    return run


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def test_what_the_recipe_says_of_its_images_is_replaced(train):
    found = RunFolder.read(train("a"))
    data = vaelab.Dataset.of(X)
    assert found.recipe.section("data") == {"kind": "arrays", "given": "by hand", "images": data.digest}
    assert found.recipe.section("altered")["by"] == ["data=arrays"]
    assert not found.recipe.by_hand and not found.problems
    assert found.recipe.data == "arrays" and (found.path / "figures" / "epoch_0001_reconstructions.png").is_file()


@pytest.mark.parametrize(
    "data",
    [
        torch.from_numpy(X),
        (X, np.arange(120) % 3),
        {"train": X[:90], "test": X[90:]},
        vaelab.Dataset.of(np.stack([X] * 4, -1).astype(np.uint16), axes="NHWC"),
    ],
    ids=["tensor", "labelled", "splits", "set"],
)
def test_images_are_given_in_any_form_and_make_an_ordinary_run(train, data):
    likelihood = {"model.likelihood": {"kind": "normal", "sigma": 0.1}}
    run = train("a", likelihood, data=data)
    assert vaelab.load(run).generate(2).shape == vaelab.sample(run, 2, device="cpu").shape
    report = vaelab.evaluate(run, data=data, metrics="likelihood", device="cpu", likelihood={"samples": 4})
    assert not any("split anew" in note for note in report["notes"]) and report["expected"][0]["met"] is None
    assert report["digest"] == json.loads(json.dumps(RunFolder.read(run).recipe.section("data")["images"]))
    assert vaelab.sample(run, 2, sampler={"kind": "gmm", "components": 2}, data=data, device="cpu").shape[0] == 2
    assert vaelab.plot(run, "reconstructions", data=data, device="cpu")


def test_how_a_set_is_seen_is_kept_and_another_way_is_another_recipe(train, tmp_path):
    data = vaelab.Dataset.of(X, binarise="dynamic", flip=True)
    section = RunFolder.read(train("a", data=data)).recipe
    assert section.binary and section.section("data")["flip"] and section.section("data")["dynamic"]
    with pytest.raises(ChangedRecipe):
        train("a", "train.epochs=2", data=vaelab.Dataset.of(X, binarise="dynamic"), resume=True)


def test_a_resumed_run_takes_its_images_again_and_no_others(train, recipe, tmp_path):
    whole, half = train("whole", "train.epochs=2"), train("half")
    before = {path.name: path.read_bytes() for path in half.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match=r"half was trained on 96 .*, and now there are 96 .*; put the images back"):
        train("half", "train.epochs=2", data=255 - X, resume=True)
    for choice in ({"data": None}, {"data": None, "what": None}, {"data": "digits"}):
        with pytest.raises(ComposedByHand) as error:
            train("half", "train.epochs=2", **choice, resume=True)
        assert str(error.value) == AGAIN.format(half)
    assert before == {path.name: path.read_bytes() for path in half.iterdir() if path.is_file()}
    train("half", "train.epochs=2", what=vaelab.Recipe.read(recipe), resume=True)
    train("half", what=None, resume=True)
    assert all(torch.equal(value, weights(half)[name]) for name, value in weights(whole).items())
    assert StoredRecipe.read(half / "recipe.yaml")[0].section("altered")["by"] == ["train.epochs=2", "data=arrays"]


def test_a_run_on_a_registered_set_is_not_carried_on_with_images_at_hand(train):
    run = train("a", "data.train_size=64", data=None)
    with pytest.raises(ChangedRecipe):
        train("a", "train.epochs=2", what=None, resume=True)
    assert train("a", "train.epochs=2", data=None, resume=True) == run


def test_a_registered_set_is_an_override(train):
    given = {"kind": "digits", "train_size": 64, "binarise": "fixed"}
    one, two = train("a", data=given), train("b", *(f"data.{key}={value}" for key, value in given.items()), data=None)
    assert all(torch.equal(value, weights(one)[name]) for name, value in weights(two).items())
    assert yaml.safe_load((one / "recipe.yaml").read_text())["data"] == given | {"resize": 16}
    assert vaelab.evaluate(one, metrics="active_units", device="cpu")["data"] == "digits"


def test_where_images_are_needed_one_sentence_says_so(train, tmp_path):
    run = train("a")
    asks = [
        lambda: vaelab.evaluate(run, device="cpu"),
        lambda: vaelab.plot(run, device="cpu"),
        lambda: vaelab.sample(run, 2, sampler="gmm", device="cpu"),
    ]
    for act in asks:
        with pytest.raises(ComposedByHand) as error:
            act()
        assert str(error.value) == AGAIN.format(run)
    with pytest.raises(ComposedByHand, match="'tiny' was trained on images at hand"):
        train("b", what=run, data=None)
    assert not (tmp_path / "b").exists() and train("b", what=run) == tmp_path / "b"
    words = (["evaluate"], ["figures"], ["reconstruct"], ["sample", "--sampler", "gmm"], ["train", "--resume", "--run"])
    for command in words:
        result = CliRunner().invoke(app, [*command, str(run)])
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
        assert "images at hand" in result.stderr and "use it in Python" in result.stderr
    assert CliRunner().invoke(app, ["sample", str(run)]).exit_code == 0
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0


@pytest.mark.parametrize(
    ("overrides", "choice", "said"),
    [
        (["data.resize=8"], {}, r"data.resize is about the recipe's images, and others are given; set it in Dataset"),
        ([], {"data": X[0]}, r"the array of train images is \[8, 8\], and a set is \[N, H, W\] or \[N, C, H, W\]"),
        ([], {"data": "digitz"}, "data.kind: unknown data 'digitz'; did you mean 'digits'"),
        (
            [],
            {"data": X.astype(np.uint16) * 9},
            "bernoulli is a probability of black and white, and these images have 65,536 levels",
        ),
        (["train.batch_size=100"], {}, "batch_size 100 exceeds the 96 training images"),
        (["model.condition=[decoder]"], {}, "model.condition needs the class of each image, and arrays has none"),
    ],
)
def test_a_mistake_gets_a_sentence_and_leaves_no_folder(train, tmp_path, overrides, choice, said):
    with pytest.raises(VaelabError, match=said) as error:
        train("a", *overrides, **choice)
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not (tmp_path / "a").exists()
