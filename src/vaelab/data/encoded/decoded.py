"""Images decoded once: an array in the user's cache, mapped until what it was made from changes."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.encoded.ahead import Decode, decode_all
from vaelab.data.encoded.files import ImageFiles
from vaelab.data.split import Split
from vaelab.data.stored import FileArray, Images
from vaelab.errors import MixedSizes, UsageError
from vaelab.io import files, places
from vaelab.io.formatting import counted
from vaelab.io.hashing import data_hash
from vaelab.io.progress import Bar

SHOWN = 64  # images between two moves of the progress bar


class MixedChannels(Exception):
    """Some images have one channel and some three; nothing was kept of them."""


def decode_once(
    kind: str,
    where: Path,
    found: ImageFiles,
    options: Any,
    decode: Decode,
    fix: str,
    *,
    size: int = 0,
    check: Callable[[], None] = lambda: None,
    labels: Tensor | None = None,
    factors: Tensor | None = None,
) -> tuple[Split, list[int]]:
    """All images, in their order, mapped from the disk, what is known about them, and the place of each.

    They are in the cache under `kind/`, where what `decode` makes of them is kept if need be, once `check` has passed.
    `options` are, as JSON, all that the pixels depend on besides the files; `size` is that of `decode_all`. Unreadable
    files are listed in one warning and left out; UsageError where none is left (`fix` says what to do then), or where
    sizes or depths differ; MixedChannels where some are grey.
    """
    key = data_hash([str(where), list(found.names), found.stamp(), options])[:24]
    array = places.cache() / kind / f"{key}.npy"
    index = array.with_suffix(".json")  # written last: where it is, the array is whole
    if not (index.is_file() and array.is_file()):
        check()
        text = json.dumps(_write(where, found.names, decode_all(found, decode, size), array, fix))
        files.write_whole(index, lambda file: file.write_text(text))
    with files.parsing(index):
        kept, skipped = json.loads(index.read_text()).values()
    if skipped:
        warnings.warn(left_out(where, len(found), skipped), stacklevel=3)
    with files.parsing(array):
        return Split(stored(array), *(None if t is None else t[kept] for t in (labels, factors))), kept


def _write(
    root: Path, names: Sequence[str], decoded: Iterable[np.ndarray | str], array: Path, fix: str
) -> dict[str, list]:
    """Decode in order; return what was kept, and what not and why."""
    kept: list[int] = []
    skipped: list[str] = []

    def readable() -> Iterator[np.ndarray]:
        first = None
        for i, result in enumerate(decoded):
            if i % SHOWN == 0:
                bar.update(SHOWN)
            if isinstance(result, str):
                skipped.append(f"{names[i]}: {result}")
                continue
            first = result if first is None else first
            if result.shape != first.shape or result.dtype != first.dtype:
                raise _uneven(names[i], result, names[kept[0]], first)
            kept.append(i)
            yield result
        if not kept:
            raise UsageError(f"{left_out(root, len(names), skipped)}\n  none is left; {fix}")

    with Bar(f"decoding {root.name}", len(names)) as bar:
        files.write_whole(array, lambda file: write_array(file, readable()))
    return {"kept": kept, "skipped": sorted(skipped)}


def write_array(path: Path, items: Iterable[np.ndarray]) -> None:
    """An .npy file of arrays of one shape and type, written one by one, so that all may be larger than memory.

    Plain writes, not a mapping of the new file: a full disk is then an error and not a crash.
    """
    count, like = 0, np.zeros((), np.uint8)
    with path.open("wb") as file:
        for item in items:
            if not count:
                like = item
                _header(file, 0, like)
            file.write(np.ascontiguousarray(item).data)
            count += 1
        file.seek(0)
        _header(file, count, like)


def _header(file: Any, count: int, like: np.ndarray) -> None:
    """At the beginning; numpy leaves room in it for the count to grow, so it may be written again."""
    kind = {"descr": np.lib.format.dtype_to_descr(like.dtype), "fortran_order": False, "shape": (count, *like.shape)}
    np.lib.format.write_array_header_1_0(file, kind)


def stored(path: Path) -> Tensor | Images:
    """The images in an .npy file: mapped where they are what a model sees, else read and scaled as they are used."""
    array = np.load(path, mmap_mode="r")
    if array.dtype == np.uint8:
        return map_array(path)
    return FileArray(path, len(array), array.shape[1:], array.dtype, array.offset)


def map_array(path: Path) -> Tensor:
    """The array in an .npy file as a tensor, read from the disk as it is used; it must not be written to."""
    # Read-only: a private writable mapping would count as memory in full, a shared one could spoil the file.
    array = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _uneven(name: str, image: np.ndarray, other: str, expected: np.ndarray) -> Exception:
    if image.shape[1:] != expected.shape[1:]:
        sizes = [f"{a.shape[1]}×{a.shape[2]}" for a in (image, expected)]
        what = f"{name} is {sizes[0]} pixels (height × width), {other} {sizes[1]}"
        return MixedSizes(what, min(expected.shape[1:]))
    if image.dtype == expected.dtype == np.uint8 and {len(image), len(expected)} == {1, 3}:
        return MixedChannels()
    kinds = [f"{counted(len(a), 'channel')} of {a.dtype}" for a in (image, expected)]
    return UsageError(f"{name} has {kinds[0]}, {other} {kinds[1]}; bring all images to one kind, or set data.channels")


def left_out(root: Path, total: int, skipped: list[str]) -> str:
    """What is said of images that cannot be read, the first of them named with the reason."""
    more = [f"… and {len(skipped) - 20} more"] if len(skipped) > 20 else []
    heading = f"left out {len(skipped)} of the {total} images in {root}, which cannot be read"
    return "\n  ".join([f"{heading}:", *skipped[:20], *more])
