"""The runs of a directory as lines, and a training's own lines: at 80 columns, in a pipe, under NO_COLOR."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import vaelab.recipe.recipe  # noqa: F401  # registers the parts
from torture.fork import Fork, command
from vaelab.cli import app
from vaelab.errors import UsageError
from vaelab.io.formatting import span
from vaelab.registry import names, part
from vaelab.runs import table as runs
from vaelab.runs.folder import RunFolder
from vaelab.runs.recipe import NO_LIKELIHOODS
from vaelab.runs.table import runs_table, summary

TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}}
objective: elbo
train: {epochs: 12, batch_size: 16, draw_every: 0}
evaluate: {metrics: [reconstruction, active_units], every: 6}
"""


@pytest.fixture
def make(tmp_path):
    """Makes a run folder below `runs` with so many epochs of its four, and a state."""

    def make_run(name, epochs=4, state=None, loss=100.0, age=0.0, **recipe):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        whole = {"data": "digits", "objective": "elbo", "train": {"epochs": 4}, "made": {"name": "tiny"}} | recipe
        (folder / "recipe.yaml").write_text(yaml.safe_dump(whole))
        rows = [
            {"kind": "epoch", "split": "valid", "epoch": n, "step": n, "loss": loss - n, "best": True}
            for n in range(1, epochs + 1)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if state:
            (folder / "state.json").write_text(json.dumps(state))
        for path in folder.iterdir():
            os.utime(path, (time.time() - age,) * 2)
        return folder

    return make_run


def cells(text):
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_a_line_for_each_run_the_newest_first(make, tmp_path):
    make("tiny-old", age=7200)
    make("mine", epochs=2, state={"state": "stopped", "reason": "stopped at step 2", "seconds": 3.0}, age=60)
    make("deep/er", epochs=0, state={"state": "failed", "reason": "kl is no longer finite", "seconds": 1.0}, age=300)
    head, *lines = cells(runs_table(tmp_path / "runs"))
    assert head == ["run", "data", "epoch", "best ELBO", "state", "age"]
    assert lines[:3] == [
        ["mine (tiny)", "digits", "2/4", "-98.00", "stopped", "1 min"],
        ["deep/er (tiny)", "digits", "0/4", "–", "failed", "5 min"],
        ["tiny-old", "digits", "4/4", "-96.00", "done", "2 h"],
    ]
    assert lines[3:] == [["mine: stopped at step 2"], ["deep/er: kl is no longer finite"]]


def test_another_bound_is_told(make, tmp_path):
    make("a", objective={"kind": "iwae", "samples": 5})
    assert "here also IWAE bound" in runs_table(tmp_path / "runs")


def test_what_is_no_likelihood_has_no_bound(make):
    assert {name for name in names("likelihood") if part("likelihood", name).scores == "loss"} == {*NO_LIKELIHOODS}
    for kind in NO_LIKELIHOODS:
        assert RunFolder.read(make(kind, model={"likelihood": {"kind": kind}})).recipe.bound == "loss at β = 1"


def test_a_number_of_an_unknown_bound_is_told(make, tmp_path):
    make("a")
    (make("torn") / "recipe.yaml").write_text("data: {")
    told = runs_table(tmp_path / "runs").splitlines()[3:]
    assert told == ["torn: its recipe cannot be read, so its number may be no ELBO"]


def test_half_a_run_is_listed(tmp_path):
    for name in ("bare", "torn", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "bare" / "model.safetensors").write_bytes(b"x")
    (tmp_path / "torn" / "recipe.yaml").write_text("data: {")
    (tmp_path / "torn" / "log.jsonl").write_text('{"kind": "ep')
    lines = cells(runs_table(tmp_path))
    assert sorted(line[0] for line in lines[1:3]) == ["bare", "torn"] and len(lines) == 3


def test_one_run_none_or_no_folder(make, tmp_path):
    run = make("tiny-1")
    assert cells(runs_table(run))[1][0] == "tiny-1"
    (tmp_path / "none").mkdir()
    assert runs_table(tmp_path / "none").startswith("no runs in ")
    with pytest.raises(UsageError, match="is no folder"):
        runs_table(tmp_path / "nowhere")


@pytest.mark.parametrize("width", [80, 50])
def test_it_fits_a_narrow_terminal(make, tmp_path, monkeypatch, width):
    make("a-run-with-a-name-of-forty-characters-ok", state={"state": "failed", "reason": "word " * 40})
    monkeypatch.setattr(runs, "_width", lambda: width)
    lines = runs_table(tmp_path / "runs").splitlines()
    assert max(map(len, lines)) <= width and not any(line.endswith(" ") for line in lines)


def test_only_a_long_name_is_folded(make, tmp_path, monkeypatch):
    for name in ("a", "tiny-b", "a-run-with-a-name-of-more-than-forty-characters"):
        make(name)
    monkeypatch.setattr(runs, "_width", lambda: 80)
    lines = runs_table(tmp_path / "runs").splitlines()
    long = next(i for i, line in enumerate(lines) if line.startswith("a-run-with"))
    assert len(lines) == 5 and max(map(len, lines)) <= 80
    assert lines[long] == "a-run-with-a-name-of-more-than-forty-characters (tiny)"
    assert len({line.index("digits") for line in lines if "digits" in line}) == 1, "columns line up"
    assert any(re.match(r"tiny-b +digits", line) for line in lines)


def test_an_odd_folder_does_not_hide_the_others(make, tmp_path, capsys, monkeypatch):
    make("a", train={"epochs": float("nan")})
    make("b", state={"state": "running", "pid": 1, "began": None, "host": "other"})
    make("c", state={"state": "done", "seconds": "abc"}, loss=1e90)
    make("d")
    lines = runs_table(tmp_path / "runs").splitlines()
    assert len(lines) == 5 and max(map(len, lines)) <= 80 and "-1e+90" in str(lines)
    read = runs.RunFolder.read
    monkeypatch.setattr(runs.RunFolder, "read", lambda path: read(path) if path.name != "a" else 1 / 0)
    assert len(runs_table(tmp_path / "runs").splitlines()) == 4
    assert "a is passed over, for it cannot be read: division by zero" in capsys.readouterr().err


def test_the_command_is_quick_and_needs_no_torch(make, tmp_path):
    make("a")
    assert "a (tiny)" in CliRunner().invoke(app, ["runs", str(tmp_path / "runs")]).output
    called = f"app(['runs', {str(tmp_path)!r}], standalone_mode=False)"
    code = f"import sys; from vaelab.cli import app; {called}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_negative_bound_has_one_kind_of_minus(make, monkeypatch):
    monkeypatch.setattr("vaelab.runs.table.finite", lambda row, key: -1709.0)
    assert "−ELBO −1,709.00 nats" in summary(make("a"))


def test_the_summary_of_a_run(make):
    run = make("a", epochs=4, state={"state": "done", "reason": "", "seconds": 200.0})
    assert summary(run).splitlines() == [
        f"trained: {run}",
        "best:    epoch 4 of 4, −ELBO 96.00 nats, 3.3 min",
        f"next:    vaelab evaluate {run}",
        f"         vaelab figures {run}",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (14, "14 s"), (60, "1 min"), (5400, "1.5 h"), (86_400 * 12.2, "12 d")]
)
def test_durations(seconds, said):
    assert span(seconds) == said


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def in_terminal(folder: Path, *words: str, **environment: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    child = Fork(command(words, folder), [theirs] * 3, TERM="xterm-256color", **environment)
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # the other end is closed
        pass
    assert child.wait(100) == 0, said.decode()
    return said.decode()


def shown(said: str) -> list[str]:
    """The lines that stay on a terminal: without control sequences, and without what a return overwrites."""
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).replace("\r\n", "\n").split("\n")
    return [line.rpartition("\r")[2] for line in lines]


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_training_fits_a_terminal_of_80_columns(tiny, environment, monkeypatch):
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    said = in_terminal(tiny, "train", "tiny.yaml", "--run", "a", **environment)
    lines = shown(said)
    assert max(map(len, lines)) <= 80
    table = [line for line in lines if re.match(r" *\d+/12 ", line)]
    assert len(table) == 11 and all(len(line.split()) == 7 for line in table)
    assert len({line.index("/") + len(line.split()[0].partition("/")[2]) for line in table}) == 1, "columns line up"
    assert [line.split()[0] for line in lines if line.startswith(("trained:", "best:", "report:", "next:"))] == [
        *("trained:", "best:", "report:", "next:"),
    ]
    if environment:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", said), "no colours"


def test_training_in_a_pipe_is_plain_lines(tiny):
    child = Fork(command(("train", "tiny.yaml", "--run", "a"), tiny), (0, tiny / "out", tiny / "err"))
    assert child.wait(100) == 0
    said, errors = ((tiny / name).read_text() for name in ("out", "err"))
    assert "\x1b" not in said + errors and "\r" not in said + errors
    told, _, head, *lines = errors.splitlines()
    measured = [line for line in lines if "/12 " not in line]
    assert (
        " images of " in told
        and head.split()[0] == "epoch"
        and len(lines) - len(measured) == 11
        and max(map(len, lines)) <= 80
    )
    assert all(line.startswith(" " * 11) for line in measured) and errors.count("ssim") == 2
    assert (tiny / "a" / "report.html").is_file()


def test_a_run_that_fails_leaves_a_report(tiny):
    result = CliRunner().invoke(app, ["train", str(tiny / "tiny.yaml"), "train.lr=1e30", "--run", str(tiny / "a")])
    assert result.exit_code == 1 and "no longer a finite number" in result.stderr
    assert "The training diverged" in (tiny / "a" / "report.html").read_text(encoding="utf-8")
    assert "failed" in runs_table(tiny)
