"""Rank, world size, device and collectives of a run."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from vaelab.errors import ProcessLost, UsageError, VaelabError
from vaelab.training.heartbeat import Heart

T = TypeVar("T")

JOIN_TIMEOUT = timedelta(minutes=10)  # that the first process waits for the last to come
STEP_TIMEOUT = timedelta(hours=1)  # that processes with a beating heart wait for each other in a step: one may compile
MAIN_TIMEOUT = timedelta(days=7)  # that the others wait while the first loads, measures or draws
SINGLE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}  # torchrun's variables, as they are of one process


@dataclass(frozen=True)
class ProcessGroup:
    """Process `rank` of `size`, each on a device of its own."""

    rank: int
    size: int
    device: torch.device
    heart: Heart | None = None  # of several processes each has one

    @classmethod
    def join(cls, device: str = "auto") -> "ProcessGroup":
        """Join the process group that torchrun has set up, or be the only process; UsageError for half a set-up.

        The processes meet first, so that what one of them lacks is said in all.
        """
        rank, size, local = _rank_and_size()
        if size == 1:
            return cls(rank, size, _occupied(pick_device(device, local)))
        with _joint("could not be reached"):
            heart = _meet(rank, size)
            chosen, problem = None, ""
            try:
                chosen = _occupied(pick_device(device, local))
            except UsageError as error:
                problem = str(error)
            heart.greet(chosen.type if chosen else "", problem)
            assert chosen is not None  # else there was a problem
            if not dist.is_initialized():
                _initialise(heart, "nccl" if chosen.type == "cuda" else "gloo")
        return cls(rank, size, chosen, heart)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def share(self, batch_size: int) -> float:
        """The part of a batch that this process learns from: rows[rank::size], of which the first ranks have more."""
        return len(range(self.rank, batch_size, self.size)) / batch_size

    def all_reduce_mean_(self, tensors: Sequence[Tensor], share: float) -> Sequence[Tensor]:
        """Replace each tensor by its mean over the processes, weighted by their shares, all of them in one message."""
        if self.size == 1 or not tensors:
            return tensors
        flat = torch.cat([t.flatten() for t in tensors]) * share
        self._all_reduce(flat)
        parts = flat.split([t.numel() for t in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        return tensors

    def all_reduce_sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums of scalars over the processes."""
        if self.size == 1:
            return dict(values)
        real = torch.float32 if self.device.type == "mps" else torch.float64
        flat = torch.tensor(list(values.values()), dtype=real, device=self.device)
        self._all_reduce(flat)
        return dict(zip(values, flat.tolist(), strict=True))

    def all_reduce_mean(self, values: Mapping[str, float], share: float) -> dict[str, float]:
        """Means of scalars over the processes, weighted by their shares."""
        return self.all_reduce_sum({k: v * share for k, v in values.items()})

    def all_reduce_any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return self.all_reduce_sum({"flag": float(flag)})["flag"] > 0

    def watching(self) -> AbstractContextManager[None]:
        """While entered, a process that is gone ends the others within a minute."""
        return self.heart.watching() if self.heart else nullcontext()

    def together(self) -> AbstractContextManager[None]:
        """While entered, all processes do something together; ProcessLost if that fails since one is gone."""
        return self.heart.waiting() if self.heart else nullcontext()

    def parting(self, act: Callable[[ProcessLost], object]) -> AbstractContextManager[None]:
        """While entered, `act` is the last that this process does where another's end is its own."""
        return self.heart.parting(act) if self.heart else nullcontext()

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the tensors of the first."""
        if self.size > 1:
            with self._collective():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def broadcast(self, thing: T) -> T:
        """The first process's object, for which the others wait long."""
        box = [thing]
        if self.size > 1:
            with self._collective():
                dist.broadcast_object_list(box, 0, group=_patient())
        return box[0]

    def gather(self, thing: T) -> list[T]:
        """Each process's object, in the order of ranks."""
        box = [thing] * self.size
        if self.size > 1:
            with self._collective():
                dist.all_gather_object(box, thing, group=_patient())
        return box

    def on_main(self, act: Callable[[], T]) -> T:
        """What `act` returns in the first process, where alone it runs; what it raises there is raised in all."""
        if self.size == 1:
            return act()
        result, error = None, None
        if self.is_main:
            try:
                result = act()
            except Exception as caught:
                error = caught
        result, error = self.broadcast((result, error))
        if error is not None:
            raise error
        return cast(T, result)

    def main_first(self, act: Callable[[], T]) -> T:
        """What `act` returns in each process; the first acts before the others, which then find its files."""
        mine: list[T] = []
        self.on_main(lambda: mine.append(act()))
        return mine[0] if self.is_main else act()

    def barrier(self) -> None:
        """Wait for all processes, and long: the first may load, measure or draw."""
        if self.size > 1:
            with self._collective():
                dist.barrier(group=_patient())

    @contextmanager
    def _collective(self) -> Iterator[None]:
        """A failure of what processes do together, in one sentence."""
        with _joint("has gone or hangs"), self.together():
            yield

    def _all_reduce(self, flat: Tensor) -> None:
        """Replace a tensor by its sum over the processes."""
        if torch.compiler.is_compiling():  # into a graph, which has no handlers of errors
            dist.all_reduce(flat)
        else:
            with self._collective():
                dist.all_reduce(flat)


@cache
def _meet(rank: int, size: int) -> Heart:
    """The heart of this process, once all have come to the place that the environment names."""
    store = next(rendezvous("env://", timeout=JOIN_TIMEOUT))[0]
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # by torchrun, and else by the first process
    return Heart(store, rank, size, f"torchrun on {os.environ['MASTER_ADDR']}" if kept else "")


def _initialise(heart: Heart, backend: str) -> None:
    """Make the process group, and let the heart beat until the process leaves it."""
    store = dist.PrefixStore("group", heart.store)  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group(backend, store=store, rank=heart.rank, world_size=heart.size, timeout=STEP_TIMEOUT)
    heart.start()
    atexit.register(heart.close)  # else gloo's threads abort one exit in ten


@cache
def _patient() -> Any:
    """The same processes, for what takes one of them long."""
    return dist.new_group(backend="gloo", timeout=MAIN_TIMEOUT)


@contextmanager
def _joint(what: str) -> Iterator[None]:
    """A failure of what processes do together, of which nobody is known to be gone, in one sentence."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise VaelabError(
            f"another process of this run {what}: its own words tell why", "resume the run once all can be there"
        ) from error


def _rank_and_size() -> tuple[int, int, int]:
    """Rank, number of processes and rank on this machine, as the environment has them."""
    given = {name: os.environ.get(name, default) for name, default in SINGLE.items()}
    try:
        rank, size, local = map(int, given.values())
    except ValueError:
        rank, size, local = -1, 0, 0
    told = ", ".join(f"{name}={value}" for name, value in given.items())
    if not (0 <= rank < size and local >= 0):
        raise UsageError(f"{told} is no place among processes; start them with torchrun, or unset these variables")
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if size > 1 and missing:
        raise UsageError(
            f"{told}, but {' and '.join(missing)} not set; start the processes with torchrun, or unset these variables"
        )
    if size > 1 and (port := os.environ["MASTER_PORT"]) not in map(str, range(2**16)):
        raise UsageError(
            f"MASTER_PORT={port} is no port; start the processes with torchrun, or give a number up to 65535"
        )
    return rank, size, local


def _occupied(device: torch.device) -> torch.device:
    """The device, which is the one that CUDA goes by."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def pick_device(name: str, local: int = 0) -> torch.device:
    """`auto` is CUDA, then Apple's MPS, then the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    kind = name.split(":")[0]
    if not available.get(kind, False):
        there = ", ".join(k for k, v in available.items() if v)
        raise UsageError(f"device {name!r} is not available here; choose auto or one of: {there}")
    try:
        chosen = torch.device(kind, local) if name == "cuda" else torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"{name!r} is no device; choose auto, cpu, cuda, cuda:N or mps") from error
    if kind == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"{str(chosen)!r} is not here; there are {torch.cuda.device_count()} GPUs, counted from 0")
    return chosen
