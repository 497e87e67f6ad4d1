"""Several processes: the same weights in all, the curve of one process, and batches that divide."""

import signal
import socket

import pytest
import torch

from vaelab.errors import UsageError, VaelabError
from vaelab.training.loop import steps_per_epoch
from vaelab.training.process_group import ProcessGroup, pick_device

SCRIPT = '''
import os, signal, sys
from pathlib import Path

import torch

import vaelab
from vaelab.errors import VaelabError
from vaelab.training import loop as engine
from vaelab.training.step import TrainState

recipe, out = sys.argv[1], Path(sys.argv[2])
rank, step = int(os.environ["RANK"]), TrainState.step


class Seen(TrainState):
    """The training state, kept to look at."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Seen.last, self.batches = self, []

    def step(self, batch, number, labels=None):
        self.batches.append(batch)
        return super().step(batch, number, labels)


def train(name, *overrides, **options):
    vaelab.train(recipe, *overrides, run=out / name, device="cpu", quiet=True, **options)
    torch.save(Seen.last.state_dict(), out / f"{name}-{rank}.pt")
    torch.save(Seen.last.batches, out / f"{name}-{rank}-batches.pt")


def refused(*arguments, **options):
    try:
        train(*arguments, **options)
    except VaelabError as error:
        (out / f"refused-{rank}.txt").open("a").write(f"{error}\\n")


def interrupted(self, batch, number, labels=None):
    if number in (8, 16) and rank == 1:  # a Ctrl-C that reaches one process only
        os.kill(os.getpid(), signal.SIGINT)
    return step(self, batch, number, labels)


def killed(self, batch, number, labels=None):
    if number == 8 and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, number, labels)


engine.TrainState = Seen
refused("odd", "train.batch_size=15")
train("whole")
refused("whole")
TrainState.step = interrupted
refused("half")
refused("half", "train.log_steps=6", resume=True)
TrainState.step = step
train("half", resume=True)
TrainState.step = killed
refused("left")
'''


@pytest.fixture
def pair(child, recipe, tmp_path, monkeypatch):
    """Two gloo processes have run the script; their files are in the folder."""
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    out.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    for name, value in meeting.items():
        monkeypatch.setenv(name, value)
    processes = []
    for rank in ("0", "1"):  # as torchrun would, but with nobody to end one when the other is gone
        monkeypatch.setenv("RANK", rank)
        processes.append(child(script, recipe, out))
    for name in (*meeting, "RANK"):
        monkeypatch.delenv(name)
    ends = [process.communicate(timeout=180)[1][-3000:] for process in processes]
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL], ends
    return out


def state(path) -> dict:
    train_state = torch.load(path, weights_only=True)
    train_state = train_state.get("learner", train_state)
    lists = train_state["adam"] | {"average": train_state["average"]}
    return train_state["model"] | {f"{k}.{i}": t for k, many in lists.items() for i, t in enumerate(many)}


def assert_equal(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    assert max((one[k] - two[k]).abs().max().item() for k in one) == 0.0


@pytest.mark.slow
def test_two_processes_are_one(pair, train, rows, within_the_noise, batches_of):
    first = state(pair / "whole-0.pt")
    assert_equal(first, state(pair / "whole-1.pt"))
    assert_equal(first, state(pair / "whole" / "last.pt"))
    start = state(train("single", "train.lr=1e-12", "train.steps=6") / "last.pt")
    assert max((first[k] - start[k]).abs().max().item() for k in first) > 0.01  # they did learn
    assert len(rows(pair / "whole", kind="epoch")) == 8  # one process writes
    shares = [torch.load(pair / f"whole-{rank}-batches.pt") for rank in (0, 1)]
    for whole, *parts in zip(batches_of(lambda: train("alone")), *shares, strict=True):
        assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)  # dealt out in turn, none twice
    within_the_noise(pair / "whole", ())

    # Stopped in one of them, both stop at the same step, and go on as if nothing had been; also where the ends of
    # epochs are all that is logged.
    for rank in (0, 1):
        odd, again, *stopped = (pair / f"refused-{rank}.txt").read_text().splitlines()
        gone = [stopped.pop()] if rank == 0 else []
        assert gone == [line for line in gone if line.startswith("another process of this run has gone or hangs: ")]
        assert odd == "batch_size 15 does not divide by 2 processes; try 14 or 16"
        assert again.startswith(f"{pair / 'whole'} holds a run already")
        assert stopped == [
            f"stopped at step {where}; resume {pair / 'half'} to carry on"
            for where in ("10, in epoch 2", "18, after epoch 3")
        ]
        assert_equal(first, state(pair / f"half-{rank}.pt"))
    assert rows(pair / "half", kind="epoch", split="valid") == rows(pair / "whole", kind="epoch", split="valid")
    assert not (pair / "odd").exists()


@pytest.mark.parametrize(
    ("batch_size", "processes", "sizes"), [(100, 3, "99 or 102"), (2, 3, "3"), (7, 2, "6 or 8"), (1, 8, "8")]
)
def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do(batch_size, processes, sizes):
    with pytest.raises(UsageError) as error:
        steps_per_epoch(1000, batch_size, processes)
    assert str(error.value) == f"batch_size {batch_size} does not divide by {processes} processes; try {sizes}"
    for size in sizes.split(" or "):
        assert steps_per_epoch(1000, int(size), processes) == 1000 // int(size)


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(UsageError, match="batch_size 65 exceeds the 64 training images; try 64 or fewer"):
        steps_per_epoch(64, 65)
    assert steps_per_epoch(64, 64) == 1


@pytest.mark.parametrize("name", ["tpu", "", "gpu", "cpu:x", ":", "CPU", "cuda:x", "cpu:-1"])
def test_a_device_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match=r"choose auto"):
        pick_device(name)


def test_a_device_that_is_absent_is_refused_with_those_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(UsageError, match=f"device '{name}' is not available here; choose auto or one of: cpu"):
            pick_device(name)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")


def test_alone_nothing_is_exchanged():
    group = ProcessGroup(0, 1, torch.device("cpu"))
    tensors = [torch.ones(2)]
    assert group.all_reduce_mean_(tensors) is tensors
    assert group.all_reduce_sum({"a": 0.1}) == {"a": 0.1} and group.all_reduce_mean({"a": 0.1}) == {"a": 0.1}
    assert group.on_main(lambda: 3) == 3
    assert group.broadcast("text") == "text" and group.main_first(lambda: 3) == 3
    assert group.all_reduce_any(True) and not group.all_reduce_any(False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"RANK": "x"}, "RANK=x, WORLD_SIZE=1, LOCAL_RANK=0 is no place among processes"),
        ({"RANK": "1"}, "RANK=1, WORLD_SIZE=1, LOCAL_RANK=0 is no place among processes"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "no place among processes"),
        ({"WORLD_SIZE": "0"}, "no place among processes"),
        ({"WORLD_SIZE": ""}, "no place among processes"),
        ({"LOCAL_RANK": "-1"}, "no place among processes"),
        ({"WORLD_SIZE": "2"}, "but MASTER_ADDR and MASTER_PORT not set"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "here"}, "but MASTER_PORT not set"),
    ],
)
def test_half_a_set_up_of_processes_is_refused_with_the_fix(monkeypatch, given, told):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"{told}; start .*torchrun, or unset these variables$"):
        ProcessGroup.join("cpu")


@pytest.mark.parametrize("port", ["x", "-1", "65536", "²"])
def test_a_port_that_is_none_is_refused_with_the_fix(monkeypatch, port):
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"^MASTER_PORT={port} is no port; start the processes with torchrun"):
        ProcessGroup.join("cpu")


def test_a_meeting_place_that_is_none_is_told(monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError("the server socket has failed to listen")

    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.init_process_group", refuse)
    with pytest.raises(VaelabError, match="another process of this run could not be reached"):
        ProcessGroup.join("cpu")
