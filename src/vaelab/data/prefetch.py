"""Batches of images read ahead of their use: by threads, in the order in which they will be used."""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaelab.data.split import Split
from vaelab.data.stored import Images

THREADS = 16  # at most
AHEAD, HELD = 3, 2**28  # batches, or fewer of more bytes, but one


def prefetched(
    images: Tensor | Images, batches: Iterable[Tensor], device: torch.device | None = None
) -> Generator[tuple[Tensor, Tensor]]:
    """Each batch of numbers and their images, in turn, of which threads read the next AHEAD meanwhile.

    What goes wrong with a batch is raised when it is due. The threads end with the iterator: close it if it is left
    before its end. To a GPU, batches are copied from pinned memory while it computes; otherwise they are on the CPU.
    """
    gpu = device if device is not None and device.type == "cuda" else None
    threads, size = min(_cores(), THREADS), images.shape[1:].numel() * images.dtype.itemsize
    take = images.take if isinstance(images, Images) else partial(images.index_select, 0)
    coming: deque[tuple[Tensor, Tensor, list[Future]]] = deque()

    def read(rows: Tensor, out: Tensor) -> None:
        out.copy_(take(rows))

    def due() -> tuple[Tensor, Tensor]:
        rows, x, parts = coming.popleft()
        for part in parts:
            part.result()
        return rows, x if gpu is None else _sent(x, gpu, copies)

    copies = None if gpu is None else torch.cuda.Stream(gpu)
    workers = ThreadPoolExecutor(threads, "images", _compute_alone)
    try:
        for rows in batches:
            x = torch.empty((len(rows), *images.shape[1:]), dtype=images.dtype, pin_memory=gpu is not None)
            part = max(1, -(-len(rows) // threads))
            pairs = zip(rows.split(part), x.split(part), strict=True)
            coming.append((rows, x, [workers.submit(read, *pair) for pair in pairs]))
            if len(coming) > max(1, min(AHEAD, HELD // max(1, size * len(rows)))):
                yield due()
        while coming:
            yield due()
    finally:
        workers.shutdown(cancel_futures=True)


def in_turn(split: Split, batches: Iterable[Tensor | slice]) -> Generator[Split]:
    """Some of a split after others, whose images are tensors; read ahead if they are not in memory."""
    if isinstance(split.images, Tensor):
        yield from (split[some] for some in batches)
        return
    every = torch.arange(len(split))
    numbers = (every[some] if isinstance(some, slice) else some for some in batches)
    with closing(prefetched(split.images, numbers)) as found:
        for rows, x in found:
            yield Split(x, *(None if t is None else t[rows] for t in (split.labels, split.factors)))


def _sent(x: Tensor, gpu: torch.device, copies: Any) -> Tensor:
    """On the GPU, to which it is copied while what was asked of that before is still under way."""
    with torch.cuda.stream(copies):
        there = x.to(gpu, non_blocking=True)
    now = torch.cuda.current_stream(gpu)
    now.wait_stream(copies)
    there.record_stream(now)
    return there


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _compute_alone() -> None:
    """Let this thread compute without others, which belong to the step; a setting of OpenMP's that each thread has."""
    torch.get_num_threads()  # sets this thread's number, unless it is set
    with suppress(OSError, AttributeError, TypeError):  # no OpenMP
        ctypes.CDLL(None).omp_set_num_threads(1)
