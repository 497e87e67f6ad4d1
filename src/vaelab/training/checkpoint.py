"""Files that are written whole or not at all: weights to use, and everything needed to carry on."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, field
from io import BufferedRandom
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vaelab.errors import UsageError
from vaelab.io.files import write_whole
from vaelab.io.hashing import bytes_hash, file_hash
from vaelab.registry import Count, Size
from vaelab.runs.log import Row

FORMAT = 3  # of what a checkpoint holds
STORED = {"train_state": "learner"}  # a field's name in files, where it is another
SEAL = 64  # hexadecimal digits of a sha256
STRICT = ConfigDict(strict=True, extra="forbid")  # what is read is checked where it is made
CHECKSUM = "sha256"  # its name in the metadata of a model


@dataclass(config=STRICT)
class Progress:
    """Where a run stands; part of its checkpoint."""

    step: Count = 0
    best: float = -math.inf  # the best epoch's score, by default its validation bound in nats per image
    stale: Count = 0  # epochs with a score since then, or since the warm-up
    sums: dict[str, float] = field(default_factory=dict)  # over the steps of the epoch under way
    steps: Count = 0  # how many those are

    def judge(self, score: float | None, warming: bool) -> bool:
        """Whether an epoch's score is the best so far; while `warming`, β still rises, and patience does not count."""
        better = score is not None and score > self.best
        if score is not None and better:
            self.best = score
        self.stale = 0 if better or warming else self.stale + (score is not None)
        return better

    def add(self, row: Row, steps: int) -> None:
        """Count the means of some steps towards the epoch's; of a pace, its inverse."""
        row = row | {"images_per_second": 1 / row["images_per_second"]}
        self.sums = {k: self.sums.get(k, 0.0) + steps * v for k, v in row.items()}
        self.steps += steps

    def close(self) -> Row:
        """The epoch's means."""
        means = {k: v / self.steps for k, v in self.sums.items()}
        self.sums, self.steps = {}, 0
        return means | {"images_per_second": 1 / means["images_per_second"]}


@dataclass(config=STRICT)
class Checkpoint:
    """Everything needed to carry on."""

    train_state: dict[str, Any]  # see `TrainState.state_dict`
    progress: Progress
    fingerprint: str | None  # of the recipe
    images: str | None = None  # the digest of those trained on
    processes: Size | None = None  # that learned together; None in files of before


def save_model(path: Path, model: nn.Module, metadata: dict[str, str]) -> None:
    """Weights and buffers as safetensors, with a checksum in its metadata."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    sealed = metadata | {CHECKSUM: _checksum(tensors, metadata)}
    write_whole(path, lambda file: file.write_bytes(save(tensors, sealed)))


def read_model(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a `model.safetensors`."""
    if not path.is_file():
        begun = "training has not finished an epoch there, or a growing model not its stages"
        there = begun if path.parent.is_dir() else "the folder does not exist"
        raise UsageError(f"no {path.name} in {path.parent}: {there}; train it or name another run")
    try:
        with safe_open(path, "pt") as file:
            tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is not a readable model file ({error}); restore it or train again") from error
    checksum = metadata.pop(CHECKSUM, None)  # none in files of before
    if checksum is not None and checksum != _checksum(tensors, metadata):
        raise UsageError(f"{path} is damaged: its checksum is another; restore it or train again")
    return tensors, metadata


def save_checkpoint(path: Path, state: Checkpoint) -> None:
    """A checkpoint to carry on from, sealed with its checksum."""
    content = {STORED.get(k, k): v for k, v in vars(state).items()}

    def write(file: Path) -> None:
        with file.open("w+b") as archive:  # of a path that cannot be written to, torch does not tell the reason
            torch.save(content | {"format": FORMAT, "progress": asdict(state.progress)}, archive)
            _seal(archive)

    write_whole(path, write)


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint written by `save_checkpoint`, on the CPU; nothing in it is executed."""
    try:
        state, whole = torch.load(path, map_location="cpu", weights_only=True), _is_sealed(path)
    except Exception as error:  # torch.load raises a dozen kinds, all of which mean the same
        raise _unreadable(path) from error
    version = state.pop("format", None) if isinstance(state, dict) else None
    if not isinstance(version, int) or version != FORMAT:
        raise UsageError(
            f"{path} is of another version of vaelab; carry on with that one, or move it away to start this run again"
        )
    if not whole:
        raise _unreadable(path, "its checksum is another")
    try:
        progress = Progress(**state["progress"])
        if state["progress"].keys() != vars(progress).keys():
            raise ValueError("some of the progress is missing")
        found: dict[str, Any] = (
            state | {field: state[stored] for field, stored in STORED.items()} | {"progress": progress}
        )
        return Checkpoint(**{k: v for k, v in found.items() if k not in STORED.values()})
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, "it holds other things than a checkpoint") from error


def find_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint of a run; None of one that has yet to write any."""
    path = folder / "last.pt"
    return read_checkpoint(path) if path.exists() else None


def refuse_other_images(before: str | None, path: Path, images: str) -> None:
    """UsageError for a run or a checkpoint of a training on other images, by the digests of both."""
    if before not in (None, images):
        raise UsageError(
            f"{path} was trained on {before}, and now there are {images}, split anew; "
            "put the images back as they were, or start a new run"
        )


def refuse_unlike(found: Any, wanted: Any, path: Path) -> None:
    """UsageError where what was read differs from what a run would write in more than numbers."""
    if not _alike(found, wanted):
        raise _unreadable(path, "its weights are not those of this model")


def _alike(found: Any, wanted: Any) -> bool:
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_alike(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_alike, found, wanted))
    return not isinstance(wanted, Tensor) or (found.shape, found.dtype) == (wanted.shape, wanted.dtype)


def _unreadable(path: Path, reason: str = "it is cut short or no archive") -> UsageError:
    return UsageError(
        f"{path} is not a readable checkpoint: {reason}; delete it to start this run again, or restore it"
    )


def _seal(archive: BufferedRandom) -> None:
    """Make the sha256 of a zip archive its comment, with which it ends: no byte can change unnoticed."""
    archive.seek(-2, os.SEEK_END)
    archive.write(SEAL.to_bytes(2, "little"))  # the comment's length
    archive.seek(0)
    archive.write(file_hash(archive).encode())


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as whole, memoryview(whole) as content:
        return bytes_hash([content[:-SEAL]]).encode() == bytes(content[-SEAL:])


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """The sha256 of all that a model file says, in whatever order."""
    parts: list[bytes | memoryview] = [repr(sorted(metadata.items())).encode()]
    for name, tensor in sorted(tensors.items()):
        content = tensor.reshape(-1).view(torch.uint8).numpy().data
        parts += [f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), content]
    return bytes_hash(parts)
