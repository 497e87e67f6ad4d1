"""Images decoded ahead of their use: in turn, on all cores, within little memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from vaelab.data.encoded.decode import shape_in
from vaelab.data.encoded.files import ImageFiles, Opened
from vaelab.errors import UsageError

PIXELS, AHEAD = 2**26, 64  # of images decoded ahead of their use, and how many these may be: about 0.4 GB, some files
SMALL, SAMPLED = 2**13, 16  # pixels of images too small for threads, on the average of so many

T = TypeVar("T")
Decode = Callable[[Any], np.ndarray]  # of what a set's files give to open: paths and streams, or pages, too


def decode_all(files: ImageFiles, decode: Decode, size: int = 0) -> Iterator[np.ndarray | str]:
    """What `decode` makes of each image, in turn; or in words why it cannot be read.

    In threads, because Pillow works outside the lock, where images are not so small that all time goes to the lock.
    What is at work or not yet taken has PIXELS at most, or is a single image. A `size` is what images will be shrunk
    to, no finer than which JPEGs are decoded.
    """
    if _are_small(files, size):
        yield from (attempt(decode, files.names[i], files.open(i)) for i in range(len(files)))
        return
    waiting: deque[tuple[int, Future]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for i, name in enumerate(files.names):
            file = files.open(i)
            pixels = _pixels(file, size)
            while waiting and (len(waiting) == AHEAD or sum(p for p, _ in waiting) + pixels > PIXELS):
                yield waiting.popleft()[1].result()
            waiting.append((pixels, workers.submit(attempt, decode, name, file)))
        while waiting:
            yield waiting.popleft()[1].result()


def _are_small(files: ImageFiles, size: int) -> bool:
    sample = range(0, len(files), max(1, len(files) // SAMPLED))
    return sum(_pixels(files.open(i), size) for i in sample) <= SMALL * len(sample)


def _pixels(file: Opened, size: int) -> int:
    """How many there are to decode; none in what cannot be read."""
    try:
        shape = shape_in(file, size)
    except Exception:  # Pillow's decoders raise whatever a broken file makes them stumble over
        return 0
    return shape.height * shape.width


def attempt(read: Callable[[Any], T], name: str, file: Opened) -> T | str:
    """What `read` makes of an image, or in words why it cannot be read; UsageError where an option does not fit it."""
    try:
        return read(file)
    except UsageError as error:
        raise UsageError(f"{name}: {error.problem}", error.fix) from error
    except Exception as error:  # as above
        return str(error) or type(error).__name__
