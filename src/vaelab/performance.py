"""The side effects on a process that make it faster: denormals, and memory that the allocator keeps."""

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BLOCK, KEPT = 2**25, 2**30  # the largest block that its heap takes, and how much it keeps


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
