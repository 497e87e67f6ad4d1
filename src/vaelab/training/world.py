"""Who we are among the processes of this run, and the few things processes do together."""

import atexit
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from vaelab.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """One of `size` processes, each on its own device."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls, device: str = "auto") -> "World":
        """Join the process group that torchrun has set up, or be the only process."""
        rank, size, local = (int(os.environ.get(k, d)) for k, d in [("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)])
        chosen = pick_device(device, local)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        if size > 1 and not dist.is_initialized():
            # Long, because the others wait while the first process measures or draws.
            dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(hours=6))
            atexit.register(dist.destroy_process_group)  # else gloo's threads abort one exit in ten
        return cls(rank, size, chosen)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def mean_(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Replace each tensor by its mean over the processes, all of them in one message."""
        if self.size == 1 or not tensors:
            return tensors
        flat = torch.cat([t.flatten() for t in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.size).split([t.numel() for t in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        return tensors

    def agree_(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the tensors of the first."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums of scalars over the processes."""
        if self.size == 1:
            return dict(values)
        flat = torch.tensor(list(values.values()), dtype=torch.float32, device=self.device)
        dist.all_reduce(flat)
        return dict(zip(values, flat.tolist(), strict=True))

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means of scalars over the processes."""
        return {k: v / self.size for k, v in self.sum(values).items()}

    def share(self, thing: T) -> T:
        """The first process's."""
        box = [thing]
        if self.size > 1:
            dist.broadcast_object_list(box, 0)
        return box[0]

    def first(self, act: Callable[[], T]) -> T:
        """What `act` returns in the first process, where alone it runs; what it raises there is raised in all."""
        result, error = None, None
        if self.is_main:
            try:
                result = act()
            except Exception as caught:
                error = caught
        result, error = self.share((result, error))
        if error is not None:
            raise error
        return cast(T, result)

    def one_by_one(self, act: Callable[[], T]) -> T:
        """What `act` returns; the first process acts before the others, which then find its files."""
        if self.is_main:
            result = act()
            self.meet()
            return result
        self.meet()
        return act()

    def meet(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.size == 1:
            return flag
        return self.sum({"flag": float(flag)})["flag"] > 0


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
