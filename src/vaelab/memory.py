"""What the C library does with freed memory."""

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BLOCK, KEPT = 2**25, 2**30  # the largest block that its heap takes, and how much it keeps


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 32 MiB, for the whole process; elsewhere nothing happens.

    It would give them back to the system, or not, by chance of their addresses; every page is then faulted in again
    at its next use, which takes a third of the time of decoding in pieces of a few megabytes.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT)
