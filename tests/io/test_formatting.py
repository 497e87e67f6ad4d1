"""What people read: no name obeyed by a terminal, no value repeated in full, and lines that can be typed again."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.cli.advice import told
from vaelab.errors import Problems, UsageError, VaelabError
from vaelab.io.formatting import printable, typed
from vaelab.io.progress import note, say
from vaelab.runs.table import runs_table, summary
from vaelab.training.interrupt import Interrupt

ODD = "a\x1b[2J\rb\nerror: all is well\x7f\x9b\u202e\u2028\udcff c"
SPELLED = "a\\x1b[2J\\rb\\nerror: all is well\\x7f\\x9b\\u202e\\u2028\\udcff c"


def test_what_a_terminal_would_obey_is_spelled_out():
    assert printable(ODD) == SPELLED and printable("größe − β · 3\u00a0× 漢字 …") == "größe − β · 3\u00a0× 漢字 …"


def test_sentences_keep_their_lists_and_no_other_lines(capsys):
    say(f"error: {Problems([f'{ODD}: unknown', 'b: unknown'], 'problems')}")
    note(ODD)
    assert capsys.readouterr().err == f"error: problems:\n  {SPELLED}: unknown\n  b: unknown\nnote: {SPELLED}\n"


def test_names_of_runs_are_lines_of_a_table(tmp_path):
    run = tmp_path / ODD.replace("\udcff", "")
    run.mkdir()
    (run / "state.json").write_text('{"state": "failed", "reason": "no\\u001b[2J\\n  such", "seconds": 1}')
    spelled = SPELLED.replace("\\udcff", "")
    _, line, why = runs_table(tmp_path).splitlines()
    assert line.startswith(spelled) and why == f"{spelled}: no\\x1b[2J such"
    assert all(line.isprintable() for line in summary(run).splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ["train", "digits", "model.latent_dim=" + "a" * 100_000],
        ["train", "digits", "train." + "a" * 100_000 + "=1"],
        ["train", "digits", "model.prior=" + "a" * 100_000],
        ["train", "digits", "a" * 100_000],
        ["train", "digits", "--device", "a" * 100_000],
        ["train", "a" * 100_000],
        ["train", "digits", "--run", "a" * 100_000],
        ["list", "a" * 100_000],
        ["evaluate", "a" * 100_000],
    ],
)
def test_no_sentence_repeats_a_long_value(words):
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 2 and said.stderr.startswith("error: "), said
    assert len(said.stderr) < 1_200


def test_the_beginning_and_the_end_of_a_long_line_are_said():
    said = str(VaelabError("begins " + "x" * 5_000 + " ends\n  next"))
    assert said.startswith("begins xxx") and said.endswith("xxx ends\n  next") and " … (4,012 characters) … " in said


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "$HOME", "-a;b"])
def test_what_is_meant_to_be_typed_can_be(tmp_path, name):
    assert shlex.split(typed(Path(name))) == [name]
    run = tmp_path / name
    run.mkdir()
    (run / "log.jsonl").touch()
    assert [shlex.split(line)[-1] for line in summary(run).splitlines()[-2:]] == [str(run)] * 2


def test_a_stopped_training_says_how_to_carry_on_in_a_folder_with_spaces(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(
        "data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}\n"
        "model: {latent_dim: 2, backbone: {kind: mlp, width: 8}}\nobjective: elbo\ntrain: {epochs: 2, batch_size: 16}\n"
    )
    monkeypatch.setattr(Interrupt, "__enter__", lambda self: setattr(self, "asked", True) or self)
    with pytest.raises(UsageError) as stopped:
        vaelab.train(str(tmp_path / "tiny.yaml"), run=tmp_path / "two words", device="cpu", quiet=True)
    command = shlex.split(told(stopped.value).partition("carry on with ")[2])
    assert command == ["--run", str(tmp_path / "two words"), "--resume"]
