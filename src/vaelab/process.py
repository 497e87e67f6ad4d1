"""The process that a call runs in: its random numbers and denormals, which are the caller's, and its memory."""

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from vaelab.errors import UsageError

CPU = torch.device("cpu")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BLOCK, KEPT = 2**25, 2**30  # the largest block that its heap takes, and how much it keeps
SHARE = 0.8  # of what is available that arrays may take, since what works on them takes some, too
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


@contextlib.contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Draws as after `torch.manual_seed(seed)`, on the CPU and `device`; then the caller's go on as if none were made.

    The seed of other devices stays as it is, and they are not woken up. UsageError for a seed that torch cannot take.
    """
    if not -(2**63) <= seed < 2**64:
        raise UsageError(f"seed {seed} is beyond what fits into 64 bits; give a smaller one")
    generators = [torch.default_generator, *_generators_of(device)]
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generators_of(device: torch.device) -> list[torch.Generator]:
    """What draws on a device beside the CPU's."""
    if device.type == "cuda":
        torch.cuda.init()
        return [torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]]
    return [torch.mps._get_default_mps_generator()] if device.type == "mps" else []


@contextlib.contextmanager
def flushing_denormals() -> Iterator[None]:
    """Numbers too small for their format's full precision count as zero within, in all threads; then as before.

    Adam's moments of pixels that are mostly black decay into such denormals, which cost a fifth of a step.
    """
    before = sys.float_info.min / 2 == 0
    _in_parallel(lambda: torch.set_flush_denormal(True))
    try:
        yield
    finally:
        _in_parallel(lambda: torch.set_flush_denormal(before))


def _in_parallel(act: Callable[[], object]) -> None:
    """Call in this thread and in each that parallel loops share with it, which keep what was set before they began.

    Those of GNU's OpenMP, or of one that speaks like it; else in this thread alone.
    """
    act()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        loop = ctypes.CDLL(None).GOMP_parallel
        loop(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: act()), None, torch.get_num_threads(), 0)


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 32 MiB, for the whole process; elsewhere nothing happens.

    For programs, such as the command line, not for library functions. glibc would give blocks back to the system, or
    not, by chance of their addresses; every page is then faulted in again at its next use, which takes a third of the
    time of `likelihood` on a CPU, where images are decoded in pieces of a few megabytes.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT)


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
