"""A run folder as a training leaves it, made in no time, and what trackers must show of it."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from vaelab import registry
from vaelab.tracking.tracker import Tracker, recipe_of

RECIPE = {"data": {"kind": "digits"}, "model": {"latent_dim": 2}, "made": {"name": "digits"}}


@pytest.fixture(autouse=True)
def no_account(tmp_path, monkeypatch):
    """No service finds a login, and none leaves anything in the user's folders."""
    monkeypatch.setenv("SWANLAB_ROOT", str(tmp_path / "swanlab-root"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("SWANLAB_API_KEY", "WANDB_API_KEY", "SWANLAB_MODE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path) -> Path:
    """Two epochs of two logged steps, a picture, and an evaluation."""
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    write_rows(folder, epochs=2)
    write_png(folder / "figures" / "epoch_0002_samples.png")
    entry = {"values": {"elbo": -80.5, "iwae": None}, "protocol": {}, "notes": []}
    (folder / "metrics.json").write_text(json.dumps({"split": "test", "metrics": {"likelihood": entry}}))
    return folder


@pytest.fixture
def fake(monkeypatch):
    """A class of trackers that keep what they are told, registered for one test."""
    monkeypatch.setitem(registry._TABLE["tracker"], "fake", Fake)
    Fake.made.clear()
    return Fake


@pytest.fixture
def expected():
    """`expected(folder)`: the number of each name and step, read from the log and the metrics by other means."""
    return _expected


@pytest.fixture
def more():
    """Functions that write rows and pictures into a run folder."""
    return {"rows": write_rows, "png": write_png}


class Fake(Tracker):
    """Keeps what it is told; may fail in one of its methods."""

    module, extra = "json", "fake"
    made: list["Fake"] = []  # noqa: RUF012
    view = "here"

    def __init__(self, *, fails: str = "", rewinds: bool = False) -> None:
        self.fails, self.rewinds = fails, rewinds
        self.numbers: dict[tuple[str, int], float] = {}
        self.calls: list[Any] = []
        self.made.append(self)

    def begin(self, run, memory, done) -> bool:
        self._fail("begin")
        self.calls.append(("begin", run.name, recipe_of(run), done))
        return bool(memory.setdefault("times", 0)) or bool(memory.update(times=1))

    def scalars(self, values, step: int, epoch: float) -> None:
        self._fail("scalars")
        self.numbers |= {(k, step): v for k, v in values.items()}

    def image(self, name: str, path: Path, step: int) -> None:
        self.calls.append((name, step))

    def end(self, state: str) -> None:
        self.calls.append(state)

    def _fail(self, method: str) -> None:
        if self.fails == method:
            raise ConnectionError("no route\nto host")


def write_rows(folder: Path, epochs: int, first: int = 1, scale: float = 1.0) -> None:
    """Append the rows of some epochs of ten steps, two of them logged."""
    with (folder / "log.jsonl").open("a") as file:
        for n in range(first, first + epochs):
            numbers = {"loss": scale * 100.1 / n, "reconstruction": scale * 90.3 / n, "kl": 9.8 / n, "beta": 0.5}
            rows = [{"kind": "step", "step": s, "epoch": s / 10, "split": "train"} for s in (10 * n - 5, 10 * n)]
            rows += [{"kind": "epoch", "step": 10 * n, "epoch": n, "split": "train"}]
            rows += [{"kind": "evaluation", "step": 10 * n, "epoch": n, "split": "valid"}]
            rows += [{"kind": "epoch", "step": 10 * n, "epoch": n, "split": "valid", "best": True}]
            for i, row in enumerate(rows):
                told = {k: v + i for k, v in numbers.items()} if row["kind"] != "evaluation" else {"kl": 7.0 * n}
                file.write(json.dumps(row | told | {"grad_norm": None}) + "\n")


def write_png(path: Path) -> None:
    """A grey picture of 3 × 2."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0abc\0def"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b""))


def _expected(folder: Path, evaluated: bool = True) -> dict[tuple[str, int], float]:
    groups = {"step train": "train", "epoch train": "epoch", "epoch valid": "valid", "evaluation valid": "evaluation"}
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    known = {"loss", "reconstruction", "kl", "beta", "lr", "grad_norm", "images_per_second"}
    found = {
        (f"{groups[row['kind'] + ' ' + row['split']]}/{k}", row["step"]): row[k]
        for row in rows
        for k in known & set(row)
        if row[k] is not None
    }
    return found | ({("test/elbo", max(row["step"] for row in rows)): -80.5} if evaluated else {})
