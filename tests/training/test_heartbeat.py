"""A process that is killed, hangs or fails ends the others, in a sentence, and the run can be resumed."""

import json
import signal
import socket
import time
from pathlib import Path

import pytest
import torch

from torture.fork import command
from vaelab.errors import UsageError
from vaelab.runs.state import read_state
from vaelab.training import heartbeat
from vaelab.training.process_group import ProcessGroup
from vaelab.training.step import TrainState

HOST = socket.gethostname()
AGAIN = "start all processes again with --resume"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Hearts that beat ten times as fast."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.1)


@pytest.fixture
def slow(monkeypatch):
    """Steps that take long enough to be hit."""
    step = TrainState.step
    monkeypatch.setattr(TrainState, "step", lambda *given: time.sleep(0.02) or step(*given))


@pytest.fixture
def begin(together, recipe, tmp_path):
    """`begin("a", 3, *words)`: three processes that train into the folder a from the command line."""

    def start(name: str, size: int, *words: object):
        run = ("train", recipe, *words, "--run", tmp_path / name, "--device", "cpu")
        return together(size, lambda rank: command(run, tmp_path)(), lambda rank: (0, *files(tmp_path / name, rank)))

    return start


def files(run: Path, rank: int) -> list[Path]:
    return [Path(f"{run}-{rank}.{kind}") for kind in ("out", "err")]


def errors(run: Path, rank: int) -> list[str]:
    """The lines that a process said last, without those of torch itself."""
    return [line for line in files(run, rank)[1].read_text().splitlines() if "error" in line or "Traceback" in line]


def wait_for_epoch(run: Path, epoch: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        rows = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
        if any(line.endswith("}") and json.loads(line)["epoch"] > epoch for line in rows):
            return
        time.sleep(0.01)
    pytest.fail(f"no row of epoch {epoch} came")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "lost", "size"), [("SIGKILL", 1, 2), ("SIGKILL", 0, 2), ("SIGSTOP", 0, 2), ("SIGSTOP", 2, 3)]
)
def test_a_rank_that_is_killed_or_hangs_ends_the_others(
    begin, slow, together, train, tmp_path, largest_gap, how, lost, size
):
    run, processes = tmp_path / "a", begin("a", size)
    wait_for_epoch(run, 1)
    processes[lost].send(getattr(signal, how))
    others = [rank for rank in range(size) if rank != lost]
    assert [processes[rank].wait(60) for rank in others] == [1 for _ in others]
    said = f"error: rank {lost} of {size} on {HOST} has gone or hangs; {AGAIN}"
    assert [errors(run, rank) for rank in others] == [[said] for _ in others]
    assert not list(run.glob(".*"))  # nothing half written
    if lost:
        state = read_state(run, reached_end=False)
        assert (state.word, state.reason.split(";")[0]) == ("failed", said.split(";")[0].removeprefix("error: "))
    processes[lost].end()
    for name in ("a", "whole"):
        again = together(size, lambda rank, name=name: train(name, resume=name == "a"))
        assert [process.wait(60) for process in again] == [0] * size
    assert largest_gap(run, tmp_path / "whole") == 0.0


def test_a_rank_that_fails_ends_the_others_with_its_words(begin, tmp_path, monkeypatch):
    step = TrainState.step

    def fail(self, batch, number, labels=None):
        if number == 8 and self.group.rank == 1:
            raise UsageError("no more of this", "rest")
        return step(self, batch, number, labels)

    monkeypatch.setattr(TrainState, "step", fail)
    assert [process.wait(60) for process in begin("a", 2)] == [1, 2]
    assert errors(tmp_path / "a", 0) == [f"error: rank 1 of 2 on {HOST} has ended: no more of this; {AGAIN}"]
    assert errors(tmp_path / "a", 1) == ["error: no more of this; rest"]


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_device_that_one_process_lacks_is_said_in_all(together, capfd, lacking):
    def act(rank):
        with pytest.raises(UsageError) as error:
            ProcessGroup.join("cpu:x" if rank == lacking else "cpu")
        print(error.value, flush=True)

    assert [process.wait(60) for process in together(2, act)] == [0, 0]
    said = "'cpu:x' is no device; choose auto, cpu, cuda, cuda:N or mps"
    assert sorted(capfd.readouterr().out.splitlines()) == [said, f"rank {lacking} of 2 on {HOST}: {said}"]


def test_devices_of_different_kinds_are_refused_in_all(together, capfd, monkeypatch):
    monkeypatch.setattr("vaelab.training.process_group.pick_device", lambda name, local: torch.device(name))

    def act(rank):
        with pytest.raises(UsageError) as error:
            ProcessGroup.join(("cpu", "mps")[rank])
        print(error.value, flush=True)

    assert [process.wait(60) for process in together(2, act)] == [0, 0]
    kinds = f"cpu in rank 0 of 2 on {HOST}, mps in rank 1 of 2 on {HOST}"
    said = f"the processes have devices of different kinds, {kinds}; choose one kind for all"
    assert capfd.readouterr().out.splitlines() == [said, said]


LONG = 1.5 * heartbeat.SILENT * 0.1  # seconds in which a silent heart is noticed


@pytest.fixture
def watched(together):
    """`watched(act)`: two processes that `act(group)` and watch each other; the first keeps the store."""

    def start(act):
        def watch(rank):
            group = ProcessGroup.join("cpu")
            with group.watching():
                group.barrier()
                act(group)
            group.heart.close()

        return together(2, watch)

    return start


@pytest.mark.parametrize("rank", [0, 1])
def test_who_is_busy_is_not_gone(watched, rank):
    """The others wait for it in a collective."""
    processes = watched(lambda group: time.sleep(LONG if group.rank == rank else 0) or group.barrier())
    assert [process.wait(60) for process in processes] == [0, 0]


@pytest.mark.parametrize("rank", [0, 1])
def test_who_leaves_in_peace_is_not_gone(watched, rank):
    processes = watched(lambda group: time.sleep(LONG if group.rank == rank else 0))
    assert [process.wait(60) for process in processes] == [0, 0]


def test_all_may_be_suspended_and_go_on(watched, tmp_path):
    def act(group):
        (tmp_path / str(group.rank)).touch()
        for _ in range(30):
            group.barrier()
            time.sleep(0.02)

    processes = watched(act)
    while not all((tmp_path / name).exists() for name in "01"):
        time.sleep(0.01)
    for number, pause in ((signal.SIGSTOP, LONG), (signal.SIGCONT, 0)):
        for process in processes:
            process.send(number)
        time.sleep(pause)
    assert [process.wait(60) for process in processes] == [0, 0]
