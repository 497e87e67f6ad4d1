"""Images decoded once: an array in the user's cache, mapped until what it was made from changes."""

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.split import Split
from vaelab.errors import MixedSizes, UsageError
from vaelab.io import files, places
from vaelab.io.hashing import data_hash
from vaelab.io.progress import Bar


class MixedChannels(Exception):
    """Some images have one channel and some three; nothing was kept of them."""


def decode_once(
    kind: str,
    root: Path,
    names: list[str],
    state: Any,
    decoded: Iterable[np.ndarray | str],
    fix: str,
    labels: Tensor | None = None,
    factors: Tensor | None = None,
) -> tuple[Split, list[int]]:
    """The images in the order of `names`, mapped from the disk, what is known about them, and the place of each.

    They are in the cache under `kind/`, where `decoded` of them is kept if need be. `state` is, as JSON, all that the
    pixels depend on besides `root` and `names`. Unreadable files are listed in one warning and left out; UsageError
    where none is left (`fix` says what to do then), or where sizes differ; MixedChannels where some are grey.
    """
    key = data_hash([str(root), names, state])[:24]
    array = places.cache() / kind / f"{key}.npy"
    index = array.with_suffix(".json")  # written last: where it is, the array is whole
    if not (index.is_file() and array.is_file()):
        text = json.dumps(_write(root, names, decoded, array, fix))
        files.write_whole(index, lambda file: file.write_text(text))
    with files.parsing(index):
        kept, skipped = json.loads(index.read_text()).values()
    if skipped:
        warnings.warn(_skipped(root, len(names), skipped), stacklevel=3)
    with files.parsing(array):
        return Split(map_array(array), *(None if t is None else t[kept] for t in (labels, factors))), kept


def _write(root: Path, names: list[str], decoded: Iterable[np.ndarray | str], array: Path, fix: str) -> dict[str, list]:
    """Decode in order; return what was kept, and what not and why."""
    kept, skipped = [], []

    def readable() -> Iterator[np.ndarray]:
        shape = ()
        for i, result in enumerate(decoded):
            bar.update(1)
            if isinstance(result, str):
                skipped.append(f"{names[i]}: {result}")
                continue
            shape = shape or result.shape
            if result.shape[1:] != shape[1:]:
                raise _uneven(names[i], result.shape, names[kept[0]], shape)
            if result.shape != shape:
                raise MixedChannels
            kept.append(i)
            yield result
        if not kept:
            raise UsageError(f"{_skipped(root, len(names), skipped)}\n  none is left; {fix}")

    with Bar(f"decoding {root.name}", len(names)) as bar:
        files.write_whole(array, lambda file: write_array(file, readable()))
    return {"kept": kept, "skipped": sorted(skipped)}


def write_array(path: Path, items: Iterable[np.ndarray]) -> None:
    """An .npy file of uint8 arrays of one shape, written one by one, so that all may be larger than memory.

    Plain writes, not a mapping of the new file: a full disk is then an error and not a crash.
    """
    count, shape = 0, ()
    with path.open("wb") as file:
        for item in items:
            if not count:
                shape = item.shape
                _header(file, (0, *shape))
            file.write(np.ascontiguousarray(item).data)
            count += 1
        file.seek(0)
        _header(file, (count, *shape))


def _header(file: Any, shape: tuple[int, ...]) -> None:
    """At the beginning; numpy leaves room in it for the count to grow, so it may be written again."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def map_array(path: Path) -> Tensor:
    """The array in an .npy file as a tensor, read from the disk as it is used; it must not be written to."""
    # Read-only: a private writable mapping would count as memory in full, a shared one could spoil the file.
    array = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _uneven(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> MixedSizes:
    sizes = f"{shape[1]}×{shape[2]} pixels (height × width), {other} {expected[1]}×{expected[2]}"
    return MixedSizes(f"{name} is {sizes}", min(expected[1:]))


def _skipped(root: Path, total: int, skipped: list[str]) -> str:
    more = [f"… and {len(skipped) - 20} more"] if len(skipped) > 20 else []
    heading = f"left out {len(skipped)} of the {total} images in {root}, which cannot be read"
    return "\n  ".join([f"{heading}:", *skipped[:20], *more])
