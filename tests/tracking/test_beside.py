"""Trackers beside a training: in a process of their own, which no end of the training loses and no failure reaches."""

import json
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.errors import UsageError
from vaelab.registry.schema import Part
from vaelab.runs.claim import held
from vaelab.tracking import beside
from vaelab.tracking.beside import tracked
from vaelab.tracking.follow import LOCK

PLUGIN = '''
"""A tracker that writes lines into a file; it may fail, hang or die."""
import os, time
from vaelab.registry import register
from vaelab.tracking.tracker import Tracker

@register("tracker", "lines")
class Lines(Tracker):
    module = extra = "json"
    def __init__(self, *, trouble: str = ""):
        self.trouble = trouble
    def begin(self, run, memory, done):
        self.file = (run.path / "lines.txt").open("a", buffering=1)
        print("chatter of a service")
        if self.trouble == "fails":
            raise ConnectionError("no route to host")
        return False
    def scalars(self, values, step, epoch):
        if self.trouble == "dies":
            os._exit(3)
        self.file.write(f"{step} {' '.join(values)}\\n")
    def image(self, name, path, step):
        self.file.write(f"{step} {name}\\n")
    def end(self, state):
        if self.trouble == "hangs":
            time.sleep(600)
        self.file.write(f"{state}\\n")
'''
LINES = Part("lines")
SMALL = ("train.epochs=3", "train.log_steps=5", "objective.beta.epochs=2", "train.draw_every=3")


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """The plugin of the tracker `lines`, loaded for one test."""
    from vaelab import registry
    from vaelab.registry.plugins import load_plugin

    path = tmp_path / "lines_plugin.py"
    path.write_text(PLUGIN)
    monkeypatch.setitem(registry._TABLE["tracker"], "lines", None)
    del registry._TABLE["tracker"]["lines"]
    load_plugin(str(path))
    return path


def told(folder):
    return (folder / "lines.txt").read_text().splitlines()


def test_rows_arrive_with_the_state_at_the_end(run, lines, more, capfd):
    with tracked(run, [LINES]):
        more["rows"](run, 1, first=3)
    assert [line for line in told(run) if line.startswith("25 ")] == [
        "25 train/loss train/reconstruction train/kl train/beta"
    ]
    assert told(run)[-1] == "done"
    assert (run / "tracking.log").read_text() == "chatter of a service\n"
    assert "chatter" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "state"), [(UsageError("x"), "stopped"), (KeyboardInterrupt(), "stopped"), (ValueError("x"), "failed")]
)
def test_how_a_training_ended_is_told(run, lines, error, state):
    with pytest.raises(type(error)), tracked(run, [LINES]):
        raise error
    assert told(run)[-1] == state


def test_a_failure_is_one_note_and_the_training_goes_on(run, lines, more, capfd):
    with tracked(run, [Part("lines", {"trouble": "fails"}), LINES]):
        more["rows"](run, 1, first=3)
    [note] = capfd.readouterr().err.splitlines()
    assert note.startswith("note: lines trouble=fails is dropped: ConnectionError: no route to host")
    assert told(run)[-1] == "done"


def test_a_tracker_that_dies_takes_nothing_with_it(run, lines, capfd):
    with tracked(run, [Part("lines", {"trouble": "dies"})]):
        pass
    assert "ended early" in capfd.readouterr().err


def test_one_that_hangs_is_left(run, lines, capfd, monkeypatch):
    monkeypatch.setattr(beside, "PATIENCE", 1.0)
    began = time.monotonic()
    with tracked(run, [Part("lines", {"trouble": "hangs"})]):
        pass
    assert time.monotonic() - began < 60  # of 600
    assert (
        capfd.readouterr().err == "note: tracking had 1 s at the end and was not through; vaelab track sends the rest\n"
    )


def test_a_run_that_is_tracked_already_is_one_note(run, lines, capfd, monkeypatch):
    monkeypatch.setattr(beside, "PATIENCE", 1.0)
    with held(run / LOCK, "tracked"), tracked(run, [LINES]):
        pass
    assert not (run / "lines.txt").exists()
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_without_trackers_there_is_no_process(run, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with tracked(run, []):
        pass


def test_a_process_that_cannot_be_started_stops_nothing(run, monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with tracked(run, [Part("tensorboard")]):
        pass
    assert capfd.readouterr().err.startswith("note: not tracked: ")


def test_a_training_that_is_killed_is_told_of(run, lines):
    code = f"""if True:
        import os, signal, time
        from pathlib import Path
        from vaelab.registry.plugins import load_plugin
        from vaelab.registry.schema import Part
        from vaelab.tracking.beside import tracked
        load_plugin({str(lines)!r})
        with tracked(Path({str(run)!r}), [Part("lines")]):
            while not Path({str(run / "lines.txt")!r}).exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    for _ in range(200):
        if told(run)[-1:] == ["killed"]:
            break
        time.sleep(0.1)
    assert told(run)[-1] == "killed"
    assert sum(line.startswith("20 ") for line in told(run)) == 6  # rows, the picture, the final number


def test_a_training_and_its_resumption_are_tracked(tmp_path, lines, capfd):
    folder = tmp_path / "run"
    options = {"run": folder, "device": "cpu", "quiet": True}
    vaelab.train("digits", *SMALL, track=["lines"], **options)
    assert told(folder)[-1] == "done"
    epochs = [line for line in told(folder) if "epoch/loss" in line]
    assert [line.split()[0] for line in epochs] == ["21", "41", "61"]  # ⌈e · 1297 / 64⌉
    assert any("images/samples" in line for line in told(folder))
    vaelab.train("digits", "train.epochs=4", resume=True, **options)  # the recipe in the folder names the tracker
    assert [line.split()[0] for line in told(folder) if "epoch/loss" in line][-1] == "82"
    assert "track" not in json.loads(metadata(folder)["recipe"])["options"]


def test_the_commands(tmp_path, lines):
    folder, shell = str(tmp_path / "run"), CliRunner()
    done = shell.invoke(app, ["train", "digits", *SMALL, "--run", folder, "--track", "lines trouble=fails"])
    assert done.exit_code == 0, done.output
    done = shell.invoke(app, ["track", folder, "--to", "lines"])
    assert done.exit_code == 0, done.output
    assert "sent to lines: 21 rows, 2 pictures, 0 numbers" in done.output
    for words, message in {
        ("--to", "lnes"): "did you mean 'lines'?",
        ("--to", "lines", "troble=x"): "did you mean 'trouble'?",
        ("--to", "lines", "trouble=fails"): "error: lines trouble=fails is dropped: ConnectionError",
        ("--to", "lines trouble=fails"): "error: lines trouble=fails is dropped: ConnectionError",
        ("--to", "lines 'x"): "error: tracker \"lines 'x\": no closing quotation; write it like 'swanlab mode=local'",
    }.items():
        done = shell.invoke(app, ["track", folder, *words])
        assert done.exit_code in (1, 2)
        assert message in done.output


def test_what_is_not_installed_is_said_before_anything_is_written(tmp_path, monkeypatch):
    from vaelab.tracking.mlflow import MLflow

    monkeypatch.setattr(MLflow, "module", "no_such_module")
    with pytest.raises(UsageError, match=r"pip install 'vaelab\[mlflow\]'"):
        vaelab.train("digits", *SMALL, run=tmp_path / "run", track=["mlflow"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("track=tensorbord", "did you mean 'tensorboard'"),
        ("track=[{kind: swanlab, mode: cloudy}]", r"track\[0\].mode"),
        ("track=[tensorboard, tensorboard]", "stands twice"),
        ("track=3", "expected"),
    ],
)
def test_bad_sections_are_refused(section, message):
    with pytest.raises(UsageError, match=message):
        vaelab.Recipe.read("digits", [section])


def test_following_changes_neither_what_is_expected_nor_what_may_be_resumed():
    plain, tracked = (vaelab.Recipe.read("digits", words) for words in ([], ["track=[tensorboard]"]))
    assert plain.options.get("expect") == tracked.options.get("expect")
    assert plain.fingerprint == tracked.fingerprint


def metadata(folder):
    from vaelab.training.checkpoint import read_model

    return read_model(folder / "model.safetensors")[1]
