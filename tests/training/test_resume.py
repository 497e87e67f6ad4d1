"""A run that was stopped, in whatever way, and carried on equals one that was not: bit for bit."""

import json
import math
import signal
import time
from pathlib import Path

import pytest
import torch

import vaelab
from torture.fork import Fork, command
from vaelab import workbench as runs
from vaelab.errors import UsageError
from vaelab.evaluation import stages
from vaelab.io.files import write_whole
from vaelab.runs.log import LogWriter
from vaelab.training import loop as engine
from vaelab.training.step import TrainState

ADAMW, ADAM = "train.optimizer=adamw", "train.optimizer=adam"
LONG = ("data.train_size=384", "objective.beta.steps=30", "train.log_steps=1", "train.epochs=2")  # 24 steps per epoch


class Stop(Exception):
    pass


def state(run: Path) -> dict:
    return torch.load(run / "last.pt", weights_only=True)


def numbers(row: dict) -> dict:
    return {k: v for k, v in row.items() if not isinstance(v, str)}


def wait_for_step(run: Path, step: int, process) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
        if any(line.endswith("}") and json.loads(line)["step"] >= step for line in lines):
            return
        time.sleep(0.01)
    pytest.fail(f"no row of step {step} came: {process.poll()}")


@pytest.mark.parametrize("optimizer", [ADAMW, ADAM])
def test_two_epochs_and_two_more_are_four(train, largest_gap, rows, optimizer):
    whole = train("whole", optimizer)
    train("half", optimizer, "train.epochs=2")
    assert state(whole)["progress"]["step"] == 24
    half = train("half", "train.epochs=4", resume=True)
    assert largest_gap(whole, half) == 0.0
    assert rows(whole) == rows(half)
    assert len(rows(half, kind="step")) == 12 and len(rows(half, kind="epoch")) == 8


@pytest.mark.parametrize("optimizer", [ADAMW, ADAM])
def test_a_falling_learning_rate_of_the_same_length_goes_on_where_it_was(
    train, largest_gap, rows, optimizer, monkeypatch
):
    options = (optimizer, "train.lr_schedule=cosine", "train.lr_warmup_steps=3", "train.draw_every=2")

    def crash(*_):
        raise Stop

    monkeypatch.setattr(stages, "draw_epoch", lambda *_: None)
    whole = train("whole", *options)
    monkeypatch.setattr(stages, "draw_epoch", crash)
    with pytest.raises(Stop):
        train("half", *options)
    assert state(whole.parent / "half")["progress"]["step"] == 6
    monkeypatch.setattr(stages, "draw_epoch", lambda *_: None)
    half = train("half", resume=True)
    assert largest_gap(whole, half) == 0.0
    assert rows(whole) == rows(half)


def test_the_gap_is_seen_where_there_is_one(train, largest_gap):
    assert largest_gap(train("a"), train("b", "train.seed=1")) > 0.01


@pytest.mark.parametrize("stops", [[8], [0, 9, 10], [5, 17], [23]])
def test_an_interrupt_at_any_step_loses_nothing(train, largest_gap, rows, interrupt_at, stops):
    """In the last step of an epoch it is honoured when that is validated; in the last step of all, not at all."""
    whole = train("whole")
    pending = interrupt_at(stops)
    half, resume = whole.parent / "half", False
    for stop in [s for s in stops if s < 23]:
        with pytest.raises(UsageError, match=rf"stopped at step {stop + 1}, (in|after) epoch \d; resume {half}"):
            train("half", resume=resume)
        assert state(half)["progress"]["step"] == stop + 1
        resume = True
    train("half", resume=resume)
    assert not pending
    assert largest_gap(whole, half) == 0.0
    for one, two in zip(rows(whole, kind="epoch"), rows(half, kind="epoch"), strict=True):
        assert numbers(one) == pytest.approx(numbers(two), rel=1e-12)


def slowly(monkeypatch, pause: float, hang: float) -> None:
    """Let each step of trainings take so long, and one wait for a minute."""
    step = TrainState.step

    def slow(self, batch, number, labels=None):
        time.sleep(pause if number < hang else 60)
        return step(self, batch, number, labels)

    monkeypatch.setattr(TrainState, "step", slow)


def test_kill_9_in_mid_epoch_loses_only_the_steps_since_the_checkpoint(
    train, largest_gap, rows, recipe, tmp_path, monkeypatch
):
    options = ("train.epochs=3", "train.lr_schedule=cosine", "train.log_steps=1")
    whole, killed = train("whole", *options), tmp_path / "killed"
    with monkeypatch.context() as patch:
        slowly(patch, 0, 9)
        process = Fork(command(("train", recipe, *options, "--run", killed, "--device", "cpu"), tmp_path))
    wait_for_step(killed, 9, process)
    process.end(signal.SIGKILL)
    assert state(killed)["progress"]["step"] == 6
    assert rows(killed, kind="step")[-1]["step"] == 9
    with (killed / "log.jsonl").open("a") as log:
        log.write('{"kind": "step", "st')  # as a kill within a write leaves it
    train("killed", resume=True)
    assert largest_gap(whole, killed) == 0.0
    assert rows(whole) == rows(killed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_in_one_sentence_and_with_a_checkpoint(
    train, largest_gap, rows, recipe, tmp_path, monkeypatch, number
):
    whole, stopped = train("whole", *LONG), tmp_path / "stopped"
    words, files = ("train", recipe, *LONG, "--run", stopped, "--device", "cpu"), [tmp_path / "out", tmp_path / "err"]
    with monkeypatch.context() as patch:
        slowly(patch, 0.03, math.inf)
        process = Fork(command(words, tmp_path), (0, *files))
    wait_for_step(stopped, 4, process)
    process.send(number)
    assert process.wait(60) == 2
    out, errors = (path.read_text() for path in files)
    done = state(stopped)["progress"]["step"]
    assert 4 <= done < 24
    told, _, said = errors.partition("\n")
    assert " images of " in told
    assert said == f"error: stopped at step {done}, in epoch 1; carry on with --run {stopped} --resume\n"
    assert not out
    train("stopped", resume=True)
    assert largest_gap(whole, stopped) == 0.0
    assert rows(whole, kind="step") == rows(stopped, kind="step")


def test_a_finished_run_is_left_as_it_is(train):
    """To the second that it took, however long looking at it takes."""
    run = train("a")
    (run / "state.json").write_text('{"state": "done", "reason": "", "seconds": 1234.5}\n')
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.name != "recipe.yaml"}
    train("a", resume=True)
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.name != "recipe.yaml"}


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(train, largest_gap):
    whole, early = train("whole"), train("early", "train.epochs=1")
    for name in ("last.pt", "model.safetensors"):
        (early / name).unlink()
    train("early", "train.epochs=4", resume=True)
    assert largest_gap(whole, early) == 0.0


def test_a_checkpoint_of_another_recipe_is_refused_and_kept(train):
    a, b = train("a", "train.epochs=1"), train("b", "train.epochs=1", "model.latent_dim=4")
    (b / "last.pt").replace(a / "last.pt")
    before = (a / "last.pt").read_bytes()
    with pytest.raises(UsageError, match=r"last.pt belongs to another recipe; move it away or choose another folder"):
        train("a", resume=True)
    assert (a / "last.pt").read_bytes() == before


@pytest.mark.parametrize("stored", [{"format": 1, "learner": {}, "progress": {}}, {}, [1]])
def test_a_checkpoint_of_another_version_is_refused_before_anything_is_written(train, stored):
    run = train("a", "train.epochs=1", track=["tensorboard"])
    torch.save(stored, run / "last.pt")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match=r"last.pt is of another version of vaelab; carry on with that one, or move"):
        train("a", "train.epochs=2", resume=True)
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short"])
def test_a_broken_checkpoint_is_named_with_the_fix(train, content):
    run = train("a", "train.epochs=1")
    (run / "last.pt").write_bytes(content)
    with pytest.raises(
        UsageError, match=r"last.pt is not a readable checkpoint: .*; delete it to start this run again"
    ):
        train("a", resume=True)


def test_a_checkpoint_executes_nothing(train):
    run = train("a", "train.epochs=1")
    torch.save({"learner": pytest.approx}, run / "last.pt")  # a function would have to be imported
    with pytest.raises(UsageError, match="not a readable checkpoint"):
        train("a", resume=True)


def test_only_lengths_may_change(train):
    train("a", "train.epochs=1")
    for change in ("train.lr=1", "model.latent_dim=4", "train.seed=1", "data.flip=true", "objective.beta=2"):
        with pytest.raises(
            UsageError, match=r"trained with another recipe; a resumed run may change only train.*steps"
        ):
            train("a", change, resume=True)
    train("a", "train.epochs=2", "train.log_steps=3", "train.save_every=2", "train.patience=9", resume=True)
    assert state(train("a", "train.steps=15", resume=True))["progress"]["step"] == 15


def test_the_data_directory_is_remembered(train, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    train("a", "train.epochs=1", data_dir=tmp_path / "data")
    seen = []
    load = runs.Recipe.load_data
    monkeypatch.setattr(
        runs.Recipe, "load_data", lambda self, directory: seen.append(directory) or load(self, directory)
    )
    train("a", "train.epochs=2", resume=True)
    train("a", "train.epochs=3", resume=True)
    assert seen == [str(tmp_path / "data")] * 2


def test_an_early_stop_is_an_end(train, rows, monkeypatch):
    monkeypatch.setattr(engine, "validate", lambda *_: {"loss": 1.0, "reconstruction": 1.0, "kl": 0.0})
    run = train("a", "train.patience=1", "objective.beta=1")
    assert state(run)["progress"]["step"] == 12
    train("a", resume=True)
    assert state(run)["progress"]["step"] == 12
    train("a", "train.patience=2", resume=True)
    assert state(run)["progress"]["step"] == 18


def test_the_newest_run_of_the_recipe_is_found_and_no_other(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = Path(recipe).with_name("tiny-400.yaml")
    other.write_text(Path(recipe).read_text())
    mine = vaelab.train(recipe, "train.epochs=1", device="cpu", quiet=True)
    vaelab.train(str(other), "train.epochs=1", device="cpu", quiet=True)
    assert vaelab.train(recipe, "train.epochs=2", device="cpu", quiet=True, resume=True) == mine
    assert state(mine)["progress"]["step"] == 12


class Killed(BaseException):
    """What nothing survives: from here on no file changes any more."""


@pytest.fixture
def killed_before(monkeypatch):
    """`killed_before(n)`: the process is gone before its n-th change of a file that training writes; returns those."""

    def arrange(number: int) -> list[str]:
        changed = []

        def guarded(act, name_of):
            def change(*arguments):
                name = name_of(*arguments)
                if name in ("recipe.yaml", "state.json"):  # that of a killed run would name this very process
                    return act(*arguments)
                if len(changed) == number:
                    raise Killed
                changed.append(name)
                return act(*arguments)

            return change

        monkeypatch.setattr(Path, "replace", guarded(replace, lambda _, target: Path(target).name))
        monkeypatch.setattr(LogWriter, "write", guarded(write, lambda *_: "row"))
        return changed

    replace, write = Path.replace, LogWriter.write
    return arrange


def test_whatever_was_to_be_written_when_it_was_killed_nothing_is_missing(
    train, killed_before, largest_gap, rows, monkeypatch
):
    """A kill before any change of a file: resumed, the folder has the same pictures, numbers and rows."""

    def draw(model, data, epoch, folder):
        torch.manual_seed(0)
        drawn = model.generate(2).numpy().tobytes()
        write_whole(folder / "figures" / f"{epoch}.png", lambda path: path.write_bytes(drawn) and None)

    def pictures(run: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run.rglob("*.png")}

    monkeypatch.setattr(stages, "draw_epoch", draw)
    growing = "model.backbone={kind: progressive, start_res: 8, base_channels: 4, min_channels: 4, epochs_per_stage: 1}"
    options = ("data.pad=4", growing, "objective.beta=1", "train.epochs=3", "train.batch_size=48", "train.draw_every=1")
    changes = killed_before(10**6)
    whole = train("whole", *options, "train.save_every=2")
    assert len(pictures(whole)) == 5  # of three epochs and two stages
    for number in range(len(changes) - 1):
        killed_before(number)
        with pytest.raises(Killed):
            train(f"{number}", *options, "train.save_every=2")
        killed_before(10**6)
        run = train(f"{number}", resume=True)
        assert pictures(run) == pictures(whole)
        assert largest_gap(whole, run) == 0.0 and rows(run) == rows(whole)
