"""Several processes: the same weights in all, the curve of one process, and batches that need not divide."""

import json
import re
import shutil
import signal
import socket
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from vaelab import workbench
from vaelab.errors import UsageError, VaelabError
from vaelab.training import validation
from vaelab.training.order import steps_per_epoch
from vaelab.training.process_group import ProcessGroup, pick_device
from vaelab.training.step import TrainState

HOST = socket.gethostname()
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
refused("odd", "train.batch_size=1")
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
    assert [process.returncode for process in processes] == [1, -signal.SIGKILL], ends
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
        assert gone == [f"rank 1 of 2 on {HOST} has gone or hangs; start all processes again and resume the run"][rank:]
        assert odd == "batch_size 1 leaves some of 2 processes without an image; raise it"
        assert again.startswith(f"{pair / 'whole'} holds a run already")
        assert stopped == [
            f"stopped at step {where}; resume {pair / 'half'} to carry on"
            for where in ("10, in epoch 2", "18, after epoch 3")
        ]
        assert_equal(first, state(pair / f"half-{rank}.pt"))
    assert rows(pair / "half", kind="epoch", split="valid") == rows(pair / "whole", kind="epoch", split="valid")
    assert not (pair / "odd").exists()


def test_a_batch_that_leaves_a_process_without_an_image_is_refused():
    with pytest.raises(UsageError, match="batch_size 2 leaves some of 3 processes without an image; raise it"):
        steps_per_epoch(1000, 2, 3)
    assert 333 < steps_per_epoch(1000, 3, 3) < 334 and steps_per_epoch(1000, 100, 3) == 10


@pytest.mark.parametrize(("batch_size", "processes"), [(128, 3), (16, 16), (7, 2), (100, 64), (5, 1)])
def test_shares_are_those_of_the_images_and_make_a_whole(batch_size, processes):
    rows = torch.arange(batch_size)
    groups = [ProcessGroup(rank, processes, torch.device("cpu")) for rank in range(processes)]
    shares = [group.share(batch_size) for group in groups]
    assert shares == [len(rows[group.rank :: processes]) / batch_size for group in groups]
    assert sum(shares) == pytest.approx(1, abs=1e-12)


class Observed(torch.nn.BatchNorm1d):
    """The running means of what passes, which is left as it is."""

    def forward(self, x):
        super().forward(x)
        return x


def learn_one_batch(made, path, group) -> None:
    """A step of 16 images, of which each process has its part, and the end of the epoch."""
    made.model.decoder = torch.nn.Sequential(Observed(3, affine=False), made.model.decoder)
    state = TrainState(made.model, made.objective, made.data.augment, made.options, group)
    scalars = state.step(made.data.train.images[:16][group.rank :: group.size], 0)
    state.settle(1)
    loss = group.all_reduce_mean({"loss": scalars["loss"].item()}, state.share)
    running = state.average.decoder[0].running_mean
    torch.save({"gradient": state.adam.m, "loss": [torch.tensor(loss["loss"])], "running": [running]}, path)


def test_a_step_is_that_of_the_whole_batch_however_it_is_dealt_out(parts, together, tmp_path, monkeypatch):
    """16 images on 3 processes are 6, 5 and 5; without noise these learn, log and note what one process does."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda shape, **like: torch.zeros(shape, **like))
    made = parts("train.clip_norm=null")

    def act(rank):
        learn_one_batch(made, tmp_path / f"{rank}.pt", ProcessGroup.join("cpu"))

    assert [process.wait(60) for process in together(3, act)] == [0, 0, 0]
    learn_one_batch(made, tmp_path / "alone.pt", ProcessGroup.join("cpu"))
    alone = torch.load(tmp_path / "alone.pt")
    assert alone["running"][0].abs().max() > 0 and max(m.abs().max() for m in alone["gradient"]) > 0
    for rank in range(3):
        for name, values in torch.load(tmp_path / f"{rank}.pt").items():
            torch.testing.assert_close(values, alone[name], rtol=1e-5, atol=1e-6, check_dtype=False)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_few_held_out_images_are_dealt_out_too(parts, together, tmp_path, monkeypatch, size):
    """In small pieces, of fewer images than processes or of more; without noise the mean is that of one process."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda shape, **like: torch.zeros(shape, **like))
    monkeypatch.setattr(validation, "PIXELS", 3 * 64)
    made = parts()
    split = made.data.valid[:size]

    def act(rank):
        found = validation.validate(made.model.eval(), made.objective, split, 0, ProcessGroup.join("cpu"))
        (tmp_path / str(rank)).write_text(json.dumps(found))

    assert [process.wait(60) for process in together(3, act)] == [0, 0, 0]
    alone = validation.validate(made.model.eval(), made.objective, split, 0, ProcessGroup.join("cpu"))
    assert alone["kl"] > 0
    for rank in range(3):
        assert json.loads((tmp_path / str(rank)).read_text()) == pytest.approx(alone, rel=1e-6)


def refusals(together, act) -> set[str]:
    """What two processes say that refuse to go on."""
    with tempfile.TemporaryDirectory() as folder:

        def refuse(rank):
            with pytest.raises(UsageError) as error:
                act(rank)
            Path(folder, str(rank)).write_text(str(error.value))

        assert [process.wait(60) for process in together(2, refuse)] == [0, 0]
        return {path.read_text() for path in Path(folder).iterdir()}


def test_machines_that_have_different_images_are_told_so(together, train, tmp_path):
    def act(rank):
        images = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
        images[:32, :, rank] = 255
        train("a", data=images)

    [said] = refusals(together, act)
    ours, theirs = (r"(\d+ .* 1×8×8 \(\w+\))" for _ in range(2))
    told = f"rank 0 has {ours}, and rank 1 has {theirs}; give all machines the same images"
    found = re.fullmatch(told, said)
    assert found and found[1] != found[2]
    assert not (tmp_path / "a").exists()


def test_machines_that_share_no_run_are_told_so(together, train, tmp_path, monkeypatch):
    run = train("a", "train.epochs=1")

    def act(rank):
        if rank == 1:
            monkeypatch.setattr(workbench, "find_checkpoint", lambda folder: None)
        train("a", "train.epochs=2", resume=True)

    [said] = refusals(together, act)
    start = f"rank 1 does not find the checkpoint in {run} that rank 0 has; "
    assert said == start + "put the run on a file system that all machines share"


def test_a_run_is_carried_on_by_another_number_of_processes(together, train, rows, largest_gap, tmp_path, batches_of):
    def by(processes, name, *overrides, **options):
        def act(rank):
            with pytest.warns(UserWarning) if warned and rank == 0 else nullcontext() as found:
                path = tmp_path / f"{name}-{processes}-{rank}.pt"
                torch.save(batches_of(lambda: train(name, *overrides, **options)), path)
            if found:
                assert str(found[0].message) == warned

        assert [process.wait(60) for process in together(processes, act)] == [0] * processes
        return [torch.load(tmp_path / f"{name}-{processes}-{rank}.pt") for rank in range(processes)]

    warned = ""
    whole = batches_of(lambda: train("whole"))
    by(2, "a", "train.epochs=2")
    for copy in ("b", "c"):
        shutil.copytree(tmp_path / "a", tmp_path / copy)
    assert rows(tmp_path / "a", kind="processes") == []
    warned = "trained by 3 processes in place of 2 from step 13 on: with other noise, on the same batches"
    shares = by(3, "a", "train.epochs=3", resume=True)
    for batch, *parts in zip(whole[12:18], *shares, strict=True):
        dealt = torch.empty_like(batch)
        for rank, part in enumerate(parts):
            dealt[rank::3] = part
        assert torch.equal(dealt, batch)
    by(3, "b", "train.epochs=3", resume=True)
    assert largest_gap(tmp_path / "a", tmp_path / "b") == 0.0
    changed = {"kind": "processes", "step": 13, "epoch": 13 / 6, "split": "train", "processes": 3}
    assert rows(tmp_path / "a", kind="processes") == [changed | {"processes_before": 2}]

    # From the same checkpoint once more by others: the row is of those who did learn from it.
    shutil.copy(tmp_path / "c" / "last.pt", tmp_path / "a")
    warned = "trained by 1 process in place of 2 from step 13 on: with other noise, on the same batches"
    by(1, "a", "train.epochs=3", resume=True)
    told = [(row["step"], row["processes"]) for row in rows(tmp_path / "a", kind="processes")]
    assert told == [(13, 1)]

    # By the same number nothing is said, and the weights are those of a run that was never stopped.
    warned = ""
    by(2, "c", "train.epochs=3", resume=True)
    by(2, "e", "train.epochs=3")
    assert rows(tmp_path / "c", kind="processes") == []
    assert largest_gap(tmp_path / "c", tmp_path / "e") == 0.0


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
    assert group.all_reduce_mean_(tensors, 1.0) is tensors
    assert group.all_reduce_sum({"a": 0.1}) == {"a": 0.1} and group.all_reduce_mean({"a": 0.1}, 1.0) == {"a": 0.1}
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
