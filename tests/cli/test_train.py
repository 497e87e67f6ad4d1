"""Which folder a training takes: named, empty, at home, no text, or to be carried on with."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.errors import UsageError
from vaelab.runs.folder import RunFolder
from vaelab.runs.table import runs_table

TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}}
objective: elbo
train: {epochs: 1, batch_size: 16, draw_every: 0}
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home, and a working directory with a recipe in it."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    Path("tiny.yaml").write_text(TINY)
    return tmp_path / "home"


def typed(*words: str, code: int = 0) -> str:
    """What a command says on stderr."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--run", "a", "--resume", "train.epochs=2"),
        ("train.epochs=2", "--run", "a", "--resume"),
        ("a", "train.epochs=2", "--resume"),
        ("tiny.yaml", "train.epochs=2", "--run", "a", "--resume"),
        ("a", "train.epochs=2", "--run", "a", "--resume"),
    ],
)
def test_a_run_is_carried_on_with_by_its_folder_alone(words):
    vaelab.train("tiny.yaml", run="a", device="cpu", quiet=True)
    typed("train", *words)
    assert RunFolder.read("a").log.epoch == 2


def test_what_to_carry_on_with_must_be_named():
    assert "nothing to resume: neither a run nor a recipe is named" in typed("train", "--resume", code=2)
    assert "nothing to resume: nowhere holds no run" in typed("train", "--resume", "--run", "nowhere", code=2)
    assert "there is no recipe; name one" in typed("train", "--run", "a", code=2)
    assert "there is no recipe; name one" in typed("train", "train.epochs=2", code=2)
    assert not Path("a").exists()


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize("name", ["", " \t"])
def test_an_empty_name_is_no_folder(resume, name):
    said = typed("train", "tiny.yaml", "--run", name, *resume, code=2)
    assert said == "error: the name of the run's folder is empty; give it one, or leave it out\n"
    assert [path.name for path in Path.cwd().iterdir()] == ["tiny.yaml"]


def test_a_run_lies_at_home(home):
    assert vaelab.train("tiny.yaml", run="~/a", device="cpu", quiet=True) == home / "a"
    vaelab.train("~/a", "train.epochs=2", device="cpu", quiet=True, resume=True)
    vaelab.train(None, "train.epochs=3", run="~/a", device="cpu", quiet=True, resume=True)
    assert vaelab.sample("~/a", 2, device="cpu").shape == (2, 1, 8, 8)
    assert RunFolder.read("~/a").log.epoch == 3 and "a (tiny)" in runs_table(Path("~"))
    assert not Path("~").exists()


def test_a_home_of_nobody_is_a_name():
    vaelab.train("tiny.yaml", run="~nobody-of-that-name/a", device="cpu", quiet=True)
    assert Path("~nobody-of-that-name/a/model.safetensors").is_file()


@pytest.mark.parametrize("name", [b"a\xff", b"a\xff/b"])
def test_a_name_that_is_no_text_is_refused(name):
    run = os.fsdecode(name)
    with pytest.raises(UsageError, match="no text in UTF-8"):
        vaelab.train("tiny.yaml", run=run, device="cpu", quiet=True)
    assert "a\\udcff" in typed("train", "tiny.yaml", "--run", run, code=2)
    assert [path.name for path in Path.cwd().iterdir()] == ["tiny.yaml"]
