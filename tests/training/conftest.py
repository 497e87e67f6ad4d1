"""A model and a set so small that an epoch takes milliseconds, and what it means for two runs to be equal."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open

import vaelab
from torture.fork import Fork
from vaelab.recipe.recipe import Recipe
from vaelab.runs.log import Log
from vaelab.training import loop as engine
from vaelab.training import validation
from vaelab.training.seeds import seed_of
from vaelab.training.step import TrainState

TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}}
objective: {kind: elbo, beta: {kind: linear, steps: 6}}
train: {epochs: 4, batch_size: 16, lr: 1e-2, clip_norm: 20, ema: 0.9, weight_decay: 0.01, log_steps: 2, draw_every: 0}
"""  # 6 steps per epoch


@pytest.fixture
def recipe(tmp_path) -> str:
    """The file of the tiny recipe."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture
def train(recipe, tmp_path) -> Callable[..., Path]:
    """`train("a", "train.lr=1", …)` into the folder a."""

    def run(name: str, *overrides: str, **options: Any) -> Path:
        return vaelab.train(recipe, *overrides, run=tmp_path / name, device="cpu", quiet=True, **options)

    return run


@pytest.fixture
def parts(recipe) -> Callable[..., SimpleNamespace]:
    """What the engine takes: model, objective, data, options."""

    def build(*overrides: str) -> SimpleNamespace:
        chosen = Recipe.read(recipe, overrides)
        data = chosen.load_data()
        objective, options = chosen.build_training(data)
        return SimpleNamespace(model=chosen.build_model(data.x_shape), objective=objective, data=data, options=options)

    return build


@pytest.fixture
def child() -> Callable[..., subprocess.Popen]:
    """A Python process on one thread, with its output in pipes."""
    running = []

    def start(*arguments: object) -> subprocess.Popen:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        command = [sys.executable, *map(str, arguments)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def together() -> Callable[..., list[Fork]]:
    """`together(3, act, *streams)`: three processes of one group, as torchrun would start them, that `act(rank)`.

    There is nobody to end one when another is gone. Each has its own streams, if any are given.
    """
    running: list[Fork] = []

    def start(size: int, act: Callable[[int], object], streams: Callable[[int], Sequence[Any]] = lambda _: ()) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
        began = [Fork(partial(act, rank), streams(rank), **meeting, RANK=str(rank)) for rank in range(size)]
        running.extend(began)
        return began

    yield start
    for process in running:
        process.send(signal.SIGCONT)
        process.end()


@pytest.fixture
def largest_gap() -> Callable[[Path, Path], float]:
    """`largest_gap(run, run)`: of all numbers in two runs' checkpoints and models; 0.0 means equal to the bit."""

    def gap(one: Path, two: Path) -> float:
        ours, theirs = _numbers(one), _numbers(two)
        assert ours.keys() == theirs.keys()
        assert any("adam" in key for key in ours) and any("average" in key for key in ours)
        return max((ours[k] - theirs[k]).abs().max().item() for k in ours)

    return gap


@pytest.fixture
def rows() -> Callable[..., list[dict]]:
    """`rows(run, kind="epoch")`: the log's rows that have these values, without the pace."""

    def select(run: Path, **wanted: Any) -> list[dict]:
        found = [row for row in Log.read(run / "log.jsonl").rows if wanted.items() <= row.items()]
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in found]

    return select


@pytest.fixture
def batches_of(monkeypatch) -> Callable[[Callable[[], Any]], list[torch.Tensor]]:
    """`batches_of(act)`: what the training state is given, step by step, while `act` trains."""

    def collect(act: Callable[[], Any]) -> list[torch.Tensor]:
        step, seen = TrainState.step, []
        with monkeypatch.context() as patch:
            patch.setattr(TrainState, "step", lambda self, x, *rest: seen.append(x) or step(self, x, *rest))
            act()
        return seen

    return collect


@pytest.fixture
def within_the_noise(train, rows, monkeypatch) -> Callable[[Path, tuple[str, ...]], None]:
    """`within_the_noise(run, overrides)`: the run's epochs are like those of eager single-process runs of the recipe.

    Twelve such runs, the same in all but the noise that z is drawn with, tell how far each number scatters. Six of
    their standard deviations are allowed: with 11 degrees of freedom a fair run is refused once in 10,000 numbers.
    """

    def compare(run: Path, overrides: tuple[str, ...]) -> None:
        others = []
        for other in range(1, 13):
            for module in (engine, validation):
                monkeypatch.setattr(module, "seed_of", partial(_salted, other))
            others.append(rows(train(f"noise-{other}", *overrides), kind="epoch"))
        for i, row in enumerate(rows(run, kind="epoch")):
            for key in ("loss", "reconstruction", "kl", "grad_norm") if row["split"] == "train" else ("loss",):
                column = torch.tensor([rows[i][key] for rows in others], dtype=torch.float64)
                assert column.std() > 0
                assert abs(row[key] - column.mean()) < 6 * column.std(), (key, row[key], column)

    return compare


def _salted(salt: int, stream: str, seed: int, rank: int, step: int) -> int:
    return seed_of(stream, seed, rank + 1000 * salt if stream in ("noise", "valid") else rank, step)


def _numbers(run: Path) -> dict[str, torch.Tensor]:
    """Every number in last.pt and in model.safetensors, by a dotted name."""
    found = _flat("last", torch.load(run / "last.pt", weights_only=True))
    with safe_open(run / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["recipe"])["name"] == "tiny"
        return found | {f"best.{k}": file.get_tensor(k) for k in file.keys()}  # noqa: SIM118


def _flat(name: str, value: Any) -> dict[str, torch.Tensor]:
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in _flat(f"{name}.{key}", part).items()}
    if isinstance(value, list):
        return {k: v for i, part in enumerate(value) for k, v in _flat(f"{name}.{i}", part).items()}
    return {} if isinstance(value, str) else {name: torch.as_tensor(value).double()}


@pytest.fixture
def interrupt_at(monkeypatch):
    """Ctrl-C in each of some steps of the trainings that follow, once; gives the set of those still to come."""

    def arrange(steps: Iterable[int]) -> set[int]:
        step, pending = TrainState.step, set(steps)

        def interrupted(self, batch, number, labels=None):
            if number in pending:
                pending.discard(number)
                os.kill(os.getpid(), signal.SIGINT)
            return step(self, batch, number, labels)

        monkeypatch.setattr(TrainState, "step", interrupted)
        return pending

    return arrange
