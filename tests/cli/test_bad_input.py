"""Every mistake gets one sentence with the fix and exit code 2, every other failure 1, and nobody a traceback."""

import errno
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.recipe.recipe import as_json
from vaelab.training.process_group import ProcessGroup

TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 0}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory of the test's own with a recipe in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("tiny.yaml").write_text(TINY)
    Path("text.txt").write_text("no picture")
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/file").touch()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    return vaelab.train(str(folder / "tiny.yaml"), run=folder / "run", device="cpu", quiet=True)


@pytest.fixture
def run(trained) -> Path:
    """A run of the test's own."""
    shutil.copytree(trained, "run")
    return Path("run")


def refused(*words: object, code: int = 2, lines: int = 1, begun: bool = False) -> str:
    """What a command says on its way out; a training that has begun has told of its data before."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    said = f"{result.output}\n{result.exception!r}"
    assert isinstance(result.exception, SystemExit), said
    code = 1 if ", and downloading " in result.output else code  # what is not to be had is no mistake
    assert result.exit_code == code, said
    told, stderr = result.stderr.split("\n", 1) if begun else ("", result.stderr)
    assert (" images of " in told) == begun, said
    assert stderr.startswith("error: ") and len(stderr.splitlines()) == lines, said
    assert "Traceback" not in result.output and not result.stdout, said
    return stderr.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "train.epoch: unknown option; did you mean 'epochs'?"),
        ("trian.lr=3", "trian: unknown section; did you mean 'train'?"),
        ("model.backbone.widht=3", "model.backbone.widht: unknown option; did you mean 'width'?"),
        ("model.prior=norml", "model.prior.kind: unknown prior 'norml'; did you mean 'normal'?"),
        ("objective.beta.kind=lienar", "did you mean 'linear'?"),
        ("model.latent_dim=two", "model.latent_dim: expected a valid integer; got 'two'"),
        ("model.latent_dim=-2", "model.latent_dim: expected greater than 0; got -2"),
        ("data.resize=0", "data.resize: expected greater than 0; got 0"),
        ("data.binarise=maybe", "data.binarise: expected 'none', 'dynamic', 'fixed' or 'threshold'; got 'maybe'"),
        ("train.batch_size=97", "batch_size 97 exceeds the 96 training images; try 96 or fewer"),
        ("data.train_size=5000", "digits: the train split needs 5,000 images"),
        ("objective.beta={kind: linear, epochs: 3}", "but the run has 2 epochs; shorten them, for example"),
        ("train.lr_warmup_steps=13", "lr_warmup_steps 13 is longer than the run of 12 steps"),
        ("train.betas=[0.9, 1.0]", "betas must be below 1"),
        ("train.epochs=0", "train.epochs: less than a step; give more"),
        ("train.epochs", "is not of the form key.key=value, for example train.epochs=5"),
        ("train.lr=[1", "is not readable as YAML"),
        ("data=mnist", "mnist/train-images-idx3-ubyte.gz is not in "),
        ("data={kind: folder, path: nowhere}", "there is no folder, zip or TIFF 'nowhere'"),
        ("data={kind: folder, path: empty}", "empty holds no images (.png, .jpg"),
        ("data=folder", "data.path is missing; give it a value"),
        ("model.likelihood={kind: normal, fit: learnable, constant: false}", "set constant: true or fit: fixed"),
        ("objective={kind: elbo, free_bits: 1, kl: monte_carlo}", "free_bits are counted per latent dimension"),
        ("data.crop=9", "crop"),
    ],
)
def test_a_mistake_in_the_recipe(override, said):
    assert said in refused("train", "tiny.yaml", "--run", "out", "--device", "cpu", override)
    assert not Path("out").exists()


def test_all_mistakes_come_at_once():
    said = refused("train", "tiny.yaml", "train.epoch=3", "model.latent_dim=-1", lines=3)
    assert "train.epoch: unknown option" in said and "model.latent_dim: expected greater" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digit"], "no recipe 'digit': no such file, and no shipped recipe of that name; did you mean 'digits'?"),
        (["nowhere.yaml"], "no recipe 'nowhere.yaml'"),
        (["empty"], "no recipe 'empty'"),
        (["text.txt"], "holds no recipe; it needs the sections"),
        (["a" * 5000], "no recipe 'aaa"),
        (["tiny.yaml", "--device", "tpu"], "device 'tpu' is not available here; choose auto or one of: "),
        (["tiny.yaml", "--device", "cpu:x"], "'cpu:x' is no device; choose auto, cpu, cuda, cuda:N or mps"),
        (["tiny.yaml", "--run", "text.txt"], "text.txt is a file; choose another --run"),
        (["tiny.yaml", "--run", "text.txt/run"], "is no folder"),
        (["tiny.yaml", "--resume"], "nothing to resume: no run of 'tiny' in runs/; name it with --run"),
        (
            ["tiny.yaml", "--resume", "--run", "out"],
            "nothing to resume: out holds no run; name it with --run, or leave out --resume",
        ),
        (["tiny.yaml", "--plugin", "nowhere.py"], "no plugin 'nowhere.py'; name a Python file"),
        (["tiny.yaml", "data=mnist", "--data-dir", "nowhere"], "the data directory 'nowhere' is not a folder"),
        (["tiny.yaml", "data=static_mnist"], "static_mnist/"),
    ],
)
def test_a_mistake_in_the_words_of_train(words, said):
    assert said in refused("train", *words)
    assert not Path("out").exists()


def test_a_run_is_not_overwritten(run):
    before = (run / "recipe.yaml").read_text()
    said = refused("train", "tiny.yaml", "--run", run)
    assert said == "run holds a run already; add --resume to carry on, or choose another --run"
    assert (run / "recipe.yaml").read_text() == before


def test_a_run_of_another_recipe_is_not_resumed(run):
    Path("other.yaml").write_text(TINY)
    assert "run holds a run of 'tiny', not of 'other'" in refused("train", "other.yaml", "--run", run, "--resume")
    assert "may change only" in refused("train", "tiny.yaml", "train.lr=1", "--run", run, "--resume")


def test_a_checkpoint_of_another_recipe_is_not_resumed(run):
    vaelab.train("tiny.yaml", "model.latent_dim=4", run="other", device="cpu", quiet=True)
    shutil.copy("other/last.pt", run)
    before = (run / "model.safetensors").read_bytes()
    said = refused("train", "tiny.yaml", "train.epochs=3", "--run", run, "--resume", "--device", "cpu")
    assert said.endswith("last.pt belongs to another recipe; move it away or choose another --run")
    assert (run / "model.safetensors").read_bytes() == before


def test_a_batch_of_fewer_images_than_processes(monkeypatch):
    class Two(ProcessGroup):
        @classmethod
        def join(cls, device):
            return cls(0, 2, torch.device("cpu"))

        def barrier(self):
            """Nobody else is there."""

        def broadcast(self, text):
            return text

    monkeypatch.setattr("vaelab.workbench.ProcessGroup", Two)
    said = refused("train", "tiny.yaml", "train.batch_size=1", "--run", "out")
    assert said == "batch_size 1 leaves some of 2 processes without an image; raise it"
    assert not Path("out").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_a_file_of_a_set_that_is_not_right(damage):
    place = Path("data/mnist/train-images-idx3-ubyte.gz")
    place.parent.mkdir(parents=True)
    if damage != "missing":
        place.write_bytes(gzip.compress(bytes(1000))[: 20 if damage == "truncated" else None])
    said = refused("train", "tiny.yaml", "data=mnist", "--data-dir", "data")
    assert str(place) in said
    if damage == "missing":
        assert "get it there and save it as" in said and "--data-dir or VAELAB_DATA" in said
    else:
        assert (
            "is truncated, damaged or another file" in said and "delete it to have it made or downloaded again" in said
        )
    assert said == refused("data", "mnist", "--data-dir", "data")


COMMANDS = [("evaluate",), ("sample",), ("reconstruct",), ("figures",)]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "no model.safetensors in nowhere: the folder does not exist; train it or name another run"),
        ("empty", "no model.safetensors in empty: training has not finished an epoch there"),
        ("text.txt", "no model.safetensors in text.txt: the folder does not exist"),
        ("nowhere/model.safetensors", "no model.safetensors in nowhere"),
    ],
)
def test_a_folder_without_a_model(command, place, said):
    assert refused(*command, place).startswith(said)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", ["truncated", "foreign", "unfit", "no recipe in it", "older recipe"])
def test_a_model_that_is_not_one(command, run, damage):
    path = run / "model.safetensors"
    tensors = load_file(path)
    stored = vaelab.Recipe.read(str(run))
    recipe = {"recipe": as_json(stored.name, stored.options), "x_shape": "[1, 8, 8]"}
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "foreign":
        save_file(tensors, path)
    elif damage == "unfit":
        save_file(dict(list(tensors.items())[1:]), path, recipe)
    elif damage == "no recipe in it":
        save_file(tensors, path, recipe | {"recipe": "[]", "x_shape": "?"})
    else:
        save_file(tensors, path, recipe | {"recipe": recipe["recipe"].replace('"mlp"', '"perceptron"')})
    said = refused(*command, run)
    expected = {
        "truncated": "is not a readable model file",
        "foreign": "was not written by vaelab: it has no recipe in its metadata; name a vaelab run",
        "older recipe": "model.backbone.kind: unknown backbone 'perceptron'",
    }
    assert expected.get(damage, "do not fit the recipe in it; restore the file or train again") in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "--split", "tset"], "unknown split 'tset'; did you mean 'test'?"),
        (["evaluate", "--metrics", "likelyhood"], "unknown metric 'likelyhood'; did you mean 'likelihood'?"),
        (["evaluate", "--metrics", "likelihood,"], "unknown metric ''"),
        (["evaluate", "--samples", "0"], "likelihood.samples: expected greater than 0; got 0"),
        (["evaluate", "--device", "cuda:x"], "choose auto"),
        (["sample", "--device", "abacus"], "device 'abacus' is not available here; choose auto or one of"),
        (["sample", "--images", "full"], "full is not empty; choose a new folder, so that no images mix"),
        (["sample", "--images", "text.txt"], "cannot use text.txt: File exists; free or choose another place"),
        (["sample", "--out", "empty"], "could not write empty: it is a folder; name a file in it"),
        (["sample", "--out", "text.txt/a.png"], "could not write text.txt/a.png: text.txt is no folder"),
        (["figures", "latent_spaec"], "there is no figure 'latent_spaec'; did you mean 'latent_space'?"),
        (["figures", "manifold"], "figure 'manifold' cannot be drawn of this run; it needs 2 latent dim"),
        (["reconstruct", "nowhere.png"], "cannot read the image nowhere.png; name a PNG, JPEG or other image file"),
        (["reconstruct", "text.txt"], "cannot read the image text.txt"),
        (["reconstruct", "empty"], "cannot read the image empty"),
        (["reconstruct", "broken.png"], "cannot read the image broken.png"),
        (["reconstruct", "large.png"], "large.png is 30×20, the model takes 8×8; add --fit to crop and resize them"),
    ],
)
def test_a_mistake_in_the_words_about_a_run(run, words, said):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)).save("large.png")
    Path("broken.png").write_bytes(Path("large.png").read_bytes()[:300])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert said in refused(words[0], run, *words[1:])
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_other_data_than_the_model_was_trained_on(run, monkeypatch):
    monkeypatch.setattr("vaelab.data.digits.Digits.shape", lambda self, images: images[..., :7])
    for command in ("evaluate", "figures", "reconstruct"):
        assert "the images are (1, 8, 7), the model was trained on (1, 8, 8)" in refused(command, run)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "priors"], "no role 'priors'; did you mean 'prior'?"),
        (["list", "--plugin", "text.txt"], "name a Python file"),
        (["data", "digit"], "data.kind: unknown data 'digit'; did you mean 'digits'?"),
        (["data", "empty"], "empty is no set by its name; write vaelab data folder path=empty"),
        (["data", "folder", "empty"], "empty is no KEY=VALUE; write vaelab data folder path=empty"),
        (
            ["data", "folder", "path=tiny.yaml"],
            "tiny.yaml is no folder, zip or TIFF; name the folder that its images are",
        ),
        (["data", "arrays", "path=empty"], "correct data.path, or set data.kind=folder of image files"),
        (["data", "tiny.yaml"], "write vaelab data arrays path=tiny.yaml"),
        (["data", "digits", "data.resize=x"], "data.resize: expected a valid integer; got 'x'"),
        (["data", "digits", "resize=x"], "data.resize: expected a valid integer; got 'x'"),
        (["data", "digits", "resize"], "is not of the form key.key=value"),
        (["data", "fashion_mnist"], "fashion_mnist/"),
        (["data", "folder", "path=empty"], "holds no images"),
    ],
)
def test_a_mistake_in_the_words_about_parts_and_sets(words, said):
    assert said in refused(*words)


@pytest.mark.parametrize(
    "words",
    [["fly"], ["sample"], ["sample", "run", "-n", "0"], ["sample", "run", "-n", "x"], ["list", "--fast"]],
)
def test_a_mistake_in_the_grammar(words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "Error" in result.stderr and "Traceback" not in result.output


@pytest.mark.parametrize("words", [["evaluate"], ["sample"], ["figures"], ["reconstruct"]])
def test_ctrl_c_leaves_quietly(run, words, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vaelab.recipe.restore.read_model", interrupted)
    assert refused(words[0], run) == "stopped by Ctrl-C; what was written before is whole"


def test_ctrl_c_in_an_evaluation_leaves_the_numbers_before(run, monkeypatch):
    (run / "metrics.json").write_text(json.dumps({"before": 1}))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vaelab.model.VAE.reconstruct", interrupted)
    assert refused("evaluate", run, "--samples", "2").startswith("stopped by Ctrl-C")
    assert json.loads((run / "metrics.json").read_text()) == {"before": 1}


def test_a_full_disk_is_not_the_users_fault(run, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    last = (run / "last.pt").read_bytes()
    monkeypatch.setattr("torch.save", full)
    said = refused_after_lines("train", "tiny.yaml", "train.epochs=3", "--run", run, "--resume", "--device", "cpu")
    assert said.endswith(
        "could not write run/last.pt: the disk is full; the one before is intact; "
        "free some space and carry on with --resume, or choose another place"
    )
    assert (run / "last.pt").read_bytes() == last and not list(run.glob(".*"))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert "could not write run/samples.png: the disk is full; nothing was" in refused("sample", run, code=1)
    assert not list(run.rglob("*.tmp"))


def test_a_diverging_run_is_not_the_users_fault():
    said = refused("train", "tiny.yaml", "train.lr=1e30", "--run", "out", "--device", "cpu", code=1, begun=True)
    assert "is no longer a finite number at step 1; try a smaller train.lr" in said


def test_more_memory_than_there_is():
    said = refused(
        "train", "tiny.yaml", "model.latent_dim=2147483647", "model.backbone.width=2147483", "--run", "out", code=1
    )
    assert said.startswith("out of memory; lower train.batch_size")


def test_a_bug_of_ours_is_not_hidden(run, monkeypatch):
    def bug(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("vaelab.recipe.restore.read_model", bug)
    assert isinstance(CliRunner().invoke(app, ["sample", str(run)]).exception, ZeroDivisionError)


def refused_after_lines(*words: object) -> str:
    """The error of a training that had said something before it failed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 1 and "Traceback" not in result.output, result.output
    assert sum(line.startswith("error: ") for line in result.stderr.splitlines()) == 1
    return result.stderr.strip()
