"""Files are whole or as they were before, on a full disk too; a log loses at most the row that was being written."""

import errno
import json
import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from vaelab.errors import UsageError, VaelabError
from vaelab.evaluation import stages
from vaelab.io import files
from vaelab.io.files import write_whole
from vaelab.runs.log import Log, LogWriter, forget
from vaelab.training import checkpoint
from vaelab.training.checkpoint import (
    FORMAT,
    Checkpoint,
    Progress,
    read_checkpoint,
    read_model,
    refuse_unlike,
    save_checkpoint,
    save_model,
)
from vaelab.training.interrupt import Interrupt
from vaelab.training.process_group import ProcessGroup
from vaelab.training.step import TrainState
from vaelab.training.terminal import ShownLog

CPU = torch.device("cpu")


@contextmanager
def files_end_at(size: int):
    """The kernel refuses to make a file larger, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def checkpoint_of(model: torch.nn.Module) -> Checkpoint:
    return Checkpoint({"model": model.state_dict()}, Progress(step=7), "a")


def partial(error: Exception):
    def write(path: Path) -> None:
        path.write_text("half")
        raise error

    return write


@pytest.mark.parametrize("before", [None, "the last good one"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (RuntimeError("[enforce fail at inline_container.cc:743] unexpected pos 128"), "unexpected pos 128"),
    ],
    ids=["os", "torch"],
)
def test_what_is_cut_short_is_not_there(tmp_path, before, error, reason):
    path = tmp_path / "last.pt"
    if before:
        path.write_text(before)
    with pytest.raises(VaelabError) as raised:
        write_whole(path, partial(error))
    assert raised.value.exit_code == 1
    kept = "the one before is intact" if before else "nothing was there before"
    assert f"could not write {path}: " in str(raised.value)
    assert reason in str(raised.value) and kept in str(raised.value)
    assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


def test_dev_full_is_a_full_disk(tmp_path, monkeypatch):
    with pytest.raises(VaelabError, match="the disk is full; nothing was there before; free some space"):
        write_whole(tmp_path / "a", lambda _: Path("/dev/full").write_text("x"))
    full = lambda path, write: write_whole(path, lambda _: write(Path("/dev/full")))  # noqa: E731
    monkeypatch.setattr(checkpoint, "write_whole", full)
    with pytest.raises(VaelabError, match=r"last.pt: the disk is full; nothing was there before; free some space"):
        save_checkpoint(tmp_path / "last.pt", checkpoint_of(torch.nn.Linear(100, 100)))
    with pytest.raises(VaelabError, match="could not write /dev/full: the disk is full"):
        LogWriter(Path("/dev/full")).write({"step": 1})


@pytest.mark.parametrize("save", ["state", "model"])
def test_a_file_that_the_kernel_cuts_short_leaves_the_one_before(tmp_path, save):
    path, model = tmp_path / "file", torch.nn.Linear(100, 100)

    def write():
        return save_checkpoint(path, checkpoint_of(model)) if save == "state" else save_model(path, model, {"a": "b"})

    write()
    before = path.read_bytes()
    with (
        files_end_at(10_000),
        pytest.raises(VaelabError, match=r"file: File too large; the one before is intact") as raised,
    ):
        write()
    assert raised.value.exit_code == 1
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o007, 0o077])
def test_a_run_may_be_read_by_those_whom_the_umask_allows(train, mask):
    before = os.umask(mask)
    try:
        run = train("a", "train.epochs=1")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in run.iterdir()} == dict.fromkeys(
        ("recipe.yaml", "log.jsonl", "state.json", "last.pt", "model.safetensors"), 0o666 & ~mask
    )


def test_a_run_that_is_resumed_loses_what_was_half_written(train):
    run = train("a", "train.epochs=1")
    (run / f".model.safetensors.{2**22 + 1}-1@{files._HOST}.tmp").write_text("half")
    train("a", "train.epochs=1", resume=True)
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("other", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_breaks_the_writing_no_temporary_file_stays(tmp_path, other):
    with pytest.raises(other):
        write_whole(tmp_path / "a", partial(other()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file/a", "folder"])
def test_a_place_that_cannot_be_a_file_is_the_users_mistake(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"could not write .*; .* choose another place"):
        write_whole(tmp_path / place, lambda file: file.write_text("x"))


@pytest.mark.parametrize("name", ["last.pt", "model.safetensors", "log.jsonl"])
def test_a_disk_that_fills_while_training_leaves_the_epoch_before(train, largest_gap, tmp_path, monkeypatch, name):
    whole, run = train("whole"), tmp_path / "a"
    replace = Path.replace
    seen = []

    def full(self, target):
        seen.append(Path(target).name)
        if Path(target).name == name and seen.count(name) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    resume = False
    if name == "log.jsonl":  # its second writing as a whole is at the beginning of a resumed run
        train("a", "train.epochs=1")
        seen.append(name)
        resume = True
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(
            VaelabError, match=f"could not write {run / name}: the disk is full; the one before is intact"
        ):
            train("a", "train.epochs=4", resume=resume)
    assert read_checkpoint(run / "last.pt").progress.step == 6
    assert read_model(run / "model.safetensors")[0]
    assert not list(run.glob(".*"))
    train("a", "train.epochs=4", resume=True)
    assert largest_gap(whole, run) == 0.0


def test_a_state_comes_back_as_it_went(tmp_path):
    model, path = torch.nn.Linear(3, 2), tmp_path / "deep" / "s.pt"
    progress = Progress(step=7, best=-1.5, stale=2, sums={"loss": 2.5}, steps=1)
    save_checkpoint(path, Checkpoint({"model": model.state_dict(), "m": [torch.randn(3)]}, progress, None))
    back = read_checkpoint(path)
    assert (back.progress, back.fingerprint) == (progress, None)
    refuse_unlike(back.train_state["model"], model.state_dict(), path)
    assert all(torch.equal(back.train_state["model"][k], v) for k, v in model.state_dict().items())


def test_no_byte_of_a_checkpoint_can_change_unnoticed(tmp_path):
    """Nor be missing or more; each in one of the places that a zip archive has, and in one bit."""
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint_of(torch.nn.Linear(3, 2)))
    content = path.read_bytes()
    for place in [*range(0, len(content) - 300, 7), *range(len(content) - 300, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with pytest.raises(
            UsageError, match=r"^\S*last.pt is (not a readable checkpoint:|of another version) .*[^\n]$"
        ):
            read_checkpoint(path)
    for changed in (content[:-1], content + b"0", content[1:], b"0" + content):
        path.write_bytes(changed)
        with pytest.raises(UsageError, match="not a readable checkpoint"):
            read_checkpoint(path)
    path.write_bytes(content)
    assert read_checkpoint(path).progress.step == 7


def test_no_byte_of_a_model_can_change_unnoticed(tmp_path):
    """Or it changes nothing, as where one names the checksum."""
    path = tmp_path / "model.safetensors"
    save_model(path, torch.nn.Linear(3, 2), {"recipe": "β"})
    content, (tensors, metadata) = path.read_bytes(), read_model(path)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 7]) + content[place + 1 :])
        try:
            found, said = read_model(path)
        except UsageError as error:
            assert "\n" not in str(error)
            continue
        assert found.keys() == tensors.keys() and all(torch.equal(found[k], v) for k, v in tensors.items())
        assert said["recipe"] == metadata["recipe"]


def test_a_checkpoint_of_wrong_types_is_refused_in_one_sentence(parts, tmp_path, monkeypatch):
    """Wherever something of another kind stands, or nothing, or one thing more."""
    made, path = parts(), tmp_path / "last.pt"
    train_state = TrainState(
        made.model, made.objective, made.data.augment, made.options, ProcessGroup(0, 1, CPU)
    ).state_dict()
    state = {"format": FORMAT, "learner": train_state, "progress": asdict(Progress()), "fingerprint": "a"}
    monkeypatch.setattr(checkpoint, "_is_sealed", lambda _: True)
    count = 0
    for changed in mutations(state):
        torch.save(changed, path)
        with pytest.raises(
            UsageError, match=r"^\S*last.pt is (not a readable checkpoint:|of another version) .*[^\n]$"
        ):
            refuse_unlike(read_checkpoint(path).train_state, train_state, path)
        count += 1
    assert count > 200


def mutations(value):
    """The same structure with one thing in it of another kind, missing or added."""
    for other in (None, "x", -3, 2.5, [], {}, {"a": 1}, torch.zeros(1, 2, 3), [torch.zeros(2)]):
        both_numbers = isinstance(value, float) and isinstance(other, int | float)
        if type(other) is not type(value) and not both_numbers and not (value == "a" and other is None):
            yield other
    if isinstance(value, dict | list) and value:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            for other in mutations(value[key]):
                changed = value.copy()
                changed[key] = other
                yield changed
            changed = value.copy()
            del changed[key]
            yield changed
        yield {**value, "one more": 1} if isinstance(value, dict) else [*value, value[0]]


def test_a_model_comes_back_as_it_went(tmp_path):
    model = torch.nn.BatchNorm1d(3)
    save_model(tmp_path / "m.safetensors", model, {"recipe": "β"})
    tensors, metadata = read_model(tmp_path / "m.safetensors")
    assert metadata == {"recipe": "β"}
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(t, model.state_dict()[k]) for k, t in tensors.items())


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"x" * 100, b"\xff" * 100])
def test_a_broken_model_is_named_with_the_fix(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=r"m.safetensors is not a readable model file .*; restore it or train again"):
        read_model(tmp_path / "m.safetensors")


def test_a_missing_model_says_why(tmp_path):
    with pytest.raises(UsageError, match=r"no model.safetensors in .*: training has not finished an epoch there, or"):
        read_model(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="the folder does not exist"):
        read_model(tmp_path / "nowhere" / "model.safetensors")


@pytest.mark.parametrize(
    "away", [shutil.rmtree, lambda run: run.rename(run.with_name("moved"))], ids=["removed", "moved"]
)
@pytest.mark.parametrize("at", [2, 9])
def test_a_folder_that_goes_away_ends_its_training(train, tmp_path, monkeypatch, away, at):
    step = TrainState.step

    def stepping(self, batch, number, labels=None):
        if number == at:
            away(tmp_path / "a")
        return step(self, batch, number, labels)

    monkeypatch.setattr(TrainState, "step", stepping)
    with pytest.raises(VaelabError, match=r"a was removed or moved while it was trained; move it back") as error:
        train("a", "train.epochs=2", "train.draw_every=1")
    assert error.value.exit_code == 1 and not (tmp_path / "a").exists()


def test_a_folder_that_goes_away_before_pictures_are_drawn_is_not_made_again(train, tmp_path, monkeypatch):
    draw = stages.draw_epoch

    def drawing(model, data, epoch, folder):
        folder.rename(tmp_path / "moved")
        draw(model, data, epoch, folder)

    monkeypatch.setattr("vaelab.evaluation.stages.draw_epoch", drawing)
    with pytest.raises(VaelabError, match=r"a was removed or moved while it was trained"):
        train("a", "train.epochs=1", "train.draw_every=1")
    assert not (tmp_path / "a").exists()


def test_a_folder_that_goes_away_while_pictures_are_drawn_is_said_too(train, tmp_path, monkeypatch):
    def draw(model, data, epoch, folder):
        shutil.rmtree(folder)
        (folder / "figures").mkdir(parents=True)

    monkeypatch.setattr("vaelab.evaluation.stages.draw_epoch", draw)
    with pytest.raises(VaelabError, match=r"a was removed or moved while it was trained"):
        train("a", "train.epochs=1", "train.draw_every=1")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["figures"]


def test_the_log_forgets_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "log.jsonl"
    at = {"epoch": 1, "split": "train"}
    kept = [{"step": 1, "kind": "step"} | at, {"step": 2, "kind": "epoch"} | at]
    lost = [{"step": 3, "kind": "step"} | at]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in kept + lost) + '{"step": 4, "ki')
    assert Log.read(path).rows == kept + lost
    with path.open("ab") as file:
        file.write(b'\xff\nnull\n{"a": 1}\n')
    assert Log.read(path).rows == kept + lost
    forget(path, kept[-1]["step"])
    assert [json.loads(line) for line in path.read_text().splitlines()] == kept
    LogWriter(path).begin(2, 10, 5)
    assert [json.loads(line) for line in path.read_text().splitlines()] == kept


def test_the_log_is_json_whatever_the_numbers_are(tmp_path):
    log = LogWriter(tmp_path / "log.jsonl")
    log.begin(0, 1, 1)
    log.write({"kind": "step", "step": 1, "loss": float("nan"), "kl": float("-inf"), "lr": 0.5})
    strict = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert strict == {"kind": "step", "step": 1, "loss": None, "kl": None, "lr": 0.5}


def test_all_but_one_process_are_silent(tmp_path, capsys):
    log = LogWriter(tmp_path / "log.jsonl", silent=True)
    log.begin(0, 1, 1)
    log.write({"kind": "step", "step": 1})
    log.close()
    assert not list(tmp_path.iterdir()) and capsys.readouterr() == ("", "")


def test_off_a_terminal_there_is_a_line_per_epoch(train, capsys):
    import vaelab

    folder = train("a", "train.epochs=2")
    vaelab.train(str(folder), "train.epochs=3", run=folder, device="cpu", resume=True)
    out, errors = capsys.readouterr()
    assert not out
    _, key, head, line = errors.splitlines()  # the first tells of the data
    assert "nats" in key and "*: the best" in key
    assert head.split() == ["epoch", "loss", "rec", "kl", "β", "valid", "images/s"]
    assert line.split()[0] == "3/3" and len(line.split()) == 7 and max(map(len, (head, key, line))) <= 80


def test_numbers_of_any_size_keep_to_their_columns(tmp_path, capsys):
    log = ShownLog(tmp_path / "log.jsonl")
    log.begin(0, 4, 4)
    for epoch, loss in enumerate((-93.125, -1493.0, 32267.78, -1e30), 1):
        at = {"kind": "epoch", "epoch": epoch, "step": epoch, "loss": loss}
        log.write(at | {"split": "train", "reconstruction": loss, "kl": 1.0, "beta": 1.0, "images_per_second": 9.0})
        log.write(at | {"split": "valid"})
    _, head, *lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-2] for line in lines] == ["-93.12", "-1493.0", "32267.8", "-1e+30"]
    assert {len(line) for line in lines} == {len(head)}


def test_the_table_has_a_line_per_tenth_of_a_run_and_at_least_one_a_minute(tmp_path, capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def told(seconds: float, epochs: int = 200) -> list[int]:
        """The epochs with a line of their own in a run whose epochs last so long."""
        nonlocal now
        log = ShownLog(tmp_path / "log.jsonl")
        log.begin(0, epochs, epochs)
        for epoch in range(1, epochs + 1):
            now += seconds
            log.write({"kind": "epoch", "split": "valid", "epoch": epoch, "step": epoch, "loss": 1.0})
        return [int(line.split("/")[0]) for line in capsys.readouterr().err.splitlines() if f"/{epochs}" in line]

    assert told(0.1) == [1, *range(20, 201, 20)]
    assert told(61) == list(range(1, 201))
    assert told(0.1, epochs=4) == [1, 2, 3, 4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted_and_the_second_acts(number):
    heeded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in heeded]
    with Interrupt() as interrupt:
        assert not interrupt.asked and signal.SIG_DFL not in map(signal.getsignal, heeded)
        signal.raise_signal(number)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in heeded] == before


def test_a_terminal_that_is_closed_under_nohup_is_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGHUP, before)
