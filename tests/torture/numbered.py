"""Sets whose images tell their numbers by their pixels, one of each kind of source; and what a training saw of them."""

import io
import os
import signal
import socket
import tarfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import torch
import zarr
from PIL import Image
from pyarrow import parquet

import vaelab
from torture.fork import Fork
from vaelab.data.stored import FileArray, Images
from vaelab.training.step import TrainState

SIZES = {"train": 31, "valid": 6, "test": 6}  # in this order, whose images have the numbers from 0 on
SPLIT = {f"{name}_size": size for name, size in SIZES.items()}
COUNT, SIDE = sum(SIZES.values()), 4
RECIPE = """
data: digits
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}, likelihood: continuous_bernoulli}
train: {epochs: 8, batch_size: 7, lr: 1e-2, ema: 0.9, log_steps: 1, draw_every: 0}
"""


def pixels(dtype: Any = np.uint8, channels: int = 1) -> np.ndarray:
    """The images [N, C, H, W], each of one level: its number, of 255."""
    level = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255 + 1e-6}[dtype]  # which makes no v / 255 of real numbers
    return (np.arange(COUNT)[:, None, None, None] * np.full((channels, SIDE, SIDE), level)).astype(dtype)


def numbers(x: torch.Tensor) -> list[int]:
    """Of images as a model is given them."""
    x = x if x.dtype == torch.uint8 else (x * 255).round()
    assert (x == x[:, :1, :1, :1]).all()
    return x[:, 0, 0, 0].int().tolist()


def _folder(at: Path, dtype: Any = np.uint8, **options: Any) -> dict[str, Any]:
    names = iter(range(COUNT))
    for split, size in SIZES.items():
        for number in (next(names) for _ in range(size)):
            (at / split / f"{number % 3}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(dtype)[number, 0]).save(at / split / f"{number % 3}" / f"{number}.png")
    return {"kind": "folder", "path": str(at), **options}


def _png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()[number, 0]).save(file, "PNG")
    return file.getvalue()


def _shards(at: Path) -> dict[str, Any]:
    at.mkdir()
    for shard, some in enumerate(np.array_split(np.arange(COUNT), 3)):
        with tarfile.open(at / f"{shard}.tar", "w") as archive:
            for number in some.tolist():
                member = tarfile.TarInfo(f"{number:05}.png")
                member.size = len(_png(number))
                archive.addfile(member, io.BytesIO(_png(number)))
    return {"kind": "webdataset", "path": str(at / "{0..2}.tar"), **SPLIT}


def _table(at: Path, **options: Any) -> dict[str, Any]:
    at.mkdir()
    images = [{"bytes": _png(number), "path": None} for number in range(COUNT)]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    parquet.write_table(pyarrow.table({"image": pyarrow.array(images, kind)}), at / "train.parquet", row_group_size=9)
    return {"kind": "huggingface", "path": str(at), **SPLIT, **options}


def _arrays(at: Path, name: str, write: Callable[[Path], object]) -> dict[str, Any]:
    at.mkdir()
    write(at / name)
    return {"kind": "arrays", "path": str(at / name), **SPLIT}


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pixels(np.float32, 13), chunks=(5, 13, SIDE, SIDE), compression="gzip")


def _file(at: Path) -> vaelab.Dataset:
    x = pixels(np.uint16)
    x.tofile(at)
    return vaelab.Dataset.of(FileArray(at, len(x), x.shape[1:], x.dtype, 0), **SPLIT)


# One line for each kind of source: what makes its files at a path, and returns the data of a training.
SOURCES: dict[str, Callable[[Path], Any]] = {
    "tensor": lambda at: vaelab.Dataset.of(torch.from_numpy(pixels()), **SPLIT),
    "floats": lambda at: vaelab.Dataset.of(pixels(np.float32, 2), scale={"low": 0, "high": 1}, **SPLIT),
    "file": _file,
    "npy": lambda at: _arrays(at, "x.npy", lambda path: np.save(path, pixels())),
    "hdf5": lambda at: _arrays(at, "x.h5", _hdf5),
    "zarr": lambda at: _arrays(at, "x.zarr", lambda path: zarr.save(str(path), pixels(np.uint16, 4))),
    "folder": _folder,
    "folder of 16 bits": partial(_folder, dtype=np.uint16),
    "live folder": partial(_folder, decode="live"),
    "shards": _shards,
    "live shards": lambda at: {**_shards(at), "decode": "live"},
    "table": _table,
    "live table": partial(_table, decode="live"),
}


class Watched:
    """Trainings of the recipe on a source, of which each process notes the numbers of the images in every step."""

    def __init__(self, folder: Path, data: Any, processes: int = 1) -> None:
        self.folder, self.data, self.processes = folder, data, processes
        self.recipe = folder / "numbered.yaml"
        self.recipe.write_text(RECIPE)

    def stream(self, name: str, kills: Iterable[int] = (), broken: Callable[[], None] = lambda: None) -> list[str]:
        """Train into the folder of this name until done, killed at the beginning of each of some steps and resumed.

        What is wrong with the stream of numbers: a step left out or repeated with others. `broken` breaks the legs that
        are resumed.
        """
        known: dict[tuple[int, int], list[int]] = {}  # by step and rank
        faults, run = [], self.folder / name
        for kill in (*sorted(kills), None):
            begins = self._step(run)
            codes, found = self._leg(run, kill, broken if begins else lambda: None)
            ended = set(codes) == {0} if kill is None else 0 not in codes and -signal.SIGKILL in codes
            assert ended, f"{codes} {self._said(run)}"
            for rank, seen in enumerate(found):
                steps = [step for step, _ in seen]
                if steps != list(range(begins, begins + len(steps))):
                    faults.append(f"rank {rank} took the steps {steps} from {begins} on")
                faults += [
                    f"rank {rank} saw others in step {step}"
                    for step, images in seen
                    if known.setdefault((step, rank), images) != images
                ]
        self.seen = known
        return faults

    def _leg(self, run: Path, kill: int | None, broken: Callable[[], None]) -> tuple[list[int], list[list]]:
        """Train, or carry on: the exit code of each rank, and its steps with their numbers."""
        notes = [Path(f"{run}.{rank}") for rank in range(self.processes)]
        for path in notes:
            path.write_bytes(b"")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        meeting = {**meeting, "WORLD_SIZE": str(self.processes)} if self.processes > 1 else {}
        resume = (run / "recipe.yaml").exists()
        children = []
        for rank, path in enumerate(notes):
            act = partial(self._train, run, resume, path, kill, broken)
            streams = (0, Path(os.devnull), Path(f"{run}.{rank}.err"))
            children.append(Fork(act, streams, **meeting, **({"RANK": str(rank)} if meeting else {})))
        codes = [child.wait(120) for child in children]
        return codes, [[_parsed(line) for line in path.read_text().splitlines()] for path in notes]

    def _train(self, run: Path, resume: bool, notes: Path, kill: int | None, broken: Callable[[], None]) -> None:
        broken()
        step, file = TrainState.step, os.open(notes, os.O_WRONLY | os.O_APPEND)

        def noted(self: TrainState, x: torch.Tensor, number: int, labels: Any = None) -> Mapping[str, Any]:
            os.write(file, f"{number}: {' '.join(map(str, numbers(x)))}\n".encode())
            if number == kill:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, x, number, labels)

        TrainState.step = noted  # pyright: ignore[reportAttributeAccessIssue]
        vaelab.train(str(self.recipe), data=self.data, run=run, device="cpu", quiet=True, resume=resume)

    def _step(self, run: Path) -> int:
        """The one that a resumed run begins with."""
        path = run / "last.pt"
        return torch.load(path, weights_only=True)["progress"]["step"] if path.exists() else 0

    def _said(self, run: Path) -> str:
        return "\n".join(Path(f"{run}.{rank}.err").read_text()[-1000:] for rank in range(self.processes))


def _parsed(line: str) -> tuple[int, list[int]]:
    step, _, found = line.partition(": ")
    return int(step), [int(number) for number in found.split()]


def is_lazy(data: vaelab.Dataset) -> bool:
    """Whether its images are read as they are needed."""
    return isinstance(data.train.images, Images)
