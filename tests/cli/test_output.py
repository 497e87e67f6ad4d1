"""A command comes to its end, and its exit code is right, whatever becomes of what it prints."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vaelab.cli.output import settle, show
from vaelab.runs.folder import RunFolder

TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}}
objective: elbo
train: {epochs: 9, batch_size: 16, draw_every: 0}
"""
VAELAB = f"{shlex.quote(sys.executable)} -m vaelab"


def in_bash(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """A line of bash that ends with the exit code of the first command of its pipe."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    command = ["bash", "-c", f"{text}; exit ${{PIPESTATUS[0]}}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_training_goes_on_without_anyone_to_tell(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert in_bash(f"{VAELAB} train tiny.yaml --run a 2>&1 | head -2", tmp_path).returncode == 0
    run = RunFolder.read(tmp_path / "a")
    assert run.log.epoch == 9 and run.state.word == "done" and (run.path / "report.html").is_file()


@pytest.fixture
def many(tmp_path) -> Path:
    """More runs than a pipe holds lines of."""
    for number in range(1200):
        folder = tmp_path / "runs" / f"{number}-{'x' * 60}"
        folder.mkdir(parents=True)
        (folder / "state.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("| head -1", 0, ""),
        (">&- 2>&-", 0, ""),
        (">/dev/full", 1, "error: cannot use the output: No space left on device; free or choose another place\n"),
        (">/dev/full 2>&-", 1, ""),
    ],
)
def test_what_cannot_be_printed(many, redirected, code, said):
    done = in_bash(f"{VAELAB} runs {redirected}", many)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("command", ["--help", "train --help"])
def test_help_that_cannot_be_printed(tmp_path, command):
    done = in_bash(f"{VAELAB} {command} >/dev/full", tmp_path)
    said = "error: cannot use the output: No space left on device; free or choose another place\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize(("command", "code"), [("--help", 0), ("nonsense", 2), ("runs nowhere", 2)])
def test_help_and_mistakes_without_a_reader(tmp_path, command, code):
    assert in_bash(f"{VAELAB} {command} 2>&1 | true", tmp_path).returncode == code


def test_what_an_encoding_lacks_is_spelled_out(tmp_path):
    (tmp_path / "runs" / "größe-−β").mkdir(parents=True)
    (tmp_path / "runs" / "größe-−β" / "state.json").write_text("{}")
    done = subprocess.run(
        [*shlex.split(VAELAB), "runs"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert b"gr\xf6\xdfe-\\u2212\\u03b2" in done.stdout and done.stderr == b""


@pytest.mark.parametrize(("terminal", "said"), [(True, "a\\x1b[2J\n"), (False, "a\x1b[2J\n")])
def test_a_terminal_obeys_no_name(monkeypatch, terminal, said):
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    show(Path("a\x1b[2J"))
    assert out.getvalue() == said


def test_a_stream_that_was_replaced_stays(capsys):
    before = sys.stdout, sys.stderr
    settle()
    assert (sys.stdout, sys.stderr) == before
