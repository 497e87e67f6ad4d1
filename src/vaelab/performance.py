"""Settings of the process that make it faster: for the time of a training, or for good where a program asks for it."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BLOCK, KEPT = 2**25, 2**30  # the largest block that its heap takes, and how much it keeps
# Through the gradient (torch before 2.13 breaks the graph there), and two graphs for each stage of a growing model.
GRAPHS = {"trace_autograd_ops": True, "recompile_limit": 64}


def tune_process() -> None:
    """Threads that spin less, and freed memory that is kept, for good; to be called before torch is imported.

    For programs, such as the command line, not for library functions. Threads that spin for long ruin a shared
    machine, and none a quiet one. glibc would give blocks back to the system, or not, by chance of their addresses;
    every page is then faulted in again at its next use, which takes a third of the time of `likelihood` on a CPU, where
    images are decoded in pieces of a few megabytes. Elsewhere than under glibc nothing happens.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):  # no glibc
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT)


@contextlib.contextmanager
def compiling_steps(wanted: bool = True) -> Iterator[None]:
    """A training step compiles into one graph within, of which many are kept."""
    if not wanted:  # importing the compiler takes seconds
        yield
        return
    import torch._dynamo.config as dynamo

    with dynamo.patch({key: value for key, value in GRAPHS.items() if hasattr(dynamo, key)}):
        yield


@contextlib.contextmanager
def flushing_denormals() -> Iterator[None]:
    """Numbers too small for their format's full precision count as zero within, in all threads; then as before.

    Adam's moments of pixels that are mostly black decay into such denormals, which cost a fifth of a step.
    """
    import torch

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
    import ctypes

    import torch

    act()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        loop = ctypes.CDLL(None).GOMP_parallel
        loop(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: act()), None, torch.get_num_threads(), 0)
