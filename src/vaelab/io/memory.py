"""The memory that is left, and refusals of what it cannot hold."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from vaelab.errors import UsageError

SHARE = 0.8  # of what is available that arrays may take, since what works on them takes some, too
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


def available_memory() -> float:
    """Bytes that the machine, or the container, has left for new arrays; infinite where that cannot be known."""
    limits = [_number(Path(place)) for place in LIMITS]
    return min(*limits, _of_machine())


def refuse_too_large(needed: float, what: str, fix: str) -> None:
    """UsageError, with its `fix`, where `what` needs more bytes than there are, before it fills the memory."""
    free = available_memory()
    if needed > SHARE * free:
        raise UsageError(f"{what} would take {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} are free; {fix}")


@contextlib.contextmanager
def weights_within_memory(copies: int, fix: str) -> Iterator[None]:
    """UsageError, with its `fix`, as soon as the modules made within have weights of which `copies` do not fit.

    A tensor is counted when it joins its module, which for torch's own layers is before its memory is filled.
    """
    free, taken = available_memory(), 0

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal taken
        taken += 0 if tensor is None else tensor.nbytes
        if copies * taken > SHARE * free:
            gib = f"{copies * taken / 2**30:,.1f} GiB of memory or more, {free / 2**30:,.1f} are free"
            raise UsageError(f"the weights of this model, {copies} times over, would take {gib}; {fix}")

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # no Linux
        with contextlib.suppress(AttributeError, ValueError, OSError):
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return math.inf


def _number(path: Path) -> float:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return math.inf
