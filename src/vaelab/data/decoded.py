"""Images decoded once: an array in the user's cache, mapped until what it was made from changes."""

import hashlib
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from vaelab.data.mapped import ArrayWriter, map_array
from vaelab.errors import MixedSizes, UsageError
from vaelab.io import files
from vaelab.io.progress import Bar


class Decoded(NamedTuple):
    """Images uint8 [n, C, H, W], mapped from the disk, and the place of each among the names."""

    images: Tensor
    kept: list[int]


class MixedChannels(Exception):
    """Some images have one channel and some three."""


def decode_once(
    kind: str,
    root: Path,
    names: list[str],
    state: Any,
    decoded: Iterable[np.ndarray | str],
    fix: str,
    otherwise: Iterable[np.ndarray | str] = (),
) -> Decoded:
    """The images in the order of `names`, from the cache under `kind/`, where `decoded` of them is kept if need be.

    `state` is, as JSON, all that the pixels depend on besides `root` and `names`. Unreadable files are listed in
    one warning and left out; UsageError where none is left (`fix` says what to do then), or where sizes differ. Where
    `decoded` turns out to mix grey and colour, all are taken from `otherwise`.
    """
    key = hashlib.sha256(json.dumps([str(root), names, state]).encode()).hexdigest()[:24]
    array = files.cache() / kind / f"{key}.npy"
    index = array.with_suffix(".json")  # written last: where it is, the array is whole
    if not (index.is_file() and array.is_file()):
        try:
            written = _write(root, names, decoded, array, fix)
        except MixedChannels:
            written = _write(root, names, otherwise, array, fix)
        text = json.dumps(written)
        files.write_whole(index, lambda file: file.write_text(text))
    with files.parsing(index):
        kept, skipped = json.loads(index.read_text()).values()
    if skipped:
        warnings.warn(_skipped(root, len(names), skipped), stacklevel=3)
    with files.parsing(array):
        return Decoded(map_array(array), kept)


def _write(root: Path, names: list[str], decoded: Iterable[np.ndarray | str], array: Path, fix: str) -> dict[str, list]:
    """Decode in order; return what was kept, and what not and why."""
    kept, skipped = [], []
    with ArrayWriter(array) as writer, Bar(f"decoding {root.name}", len(names)) as bar:
        for i, result in enumerate(decoded):
            bar.update(1)
            if isinstance(result, str):
                skipped.append(f"{names[i]}: {result}")
                continue
            if writer.count and result.shape[1:] == writer.shape[1:] and result.shape != writer.shape:
                raise MixedChannels
            if writer.count and result.shape != writer.shape:
                raise _uneven(names[i], result.shape, names[kept[0]], writer.shape)
            writer.append(result)
            kept.append(i)
    if not kept:
        raise UsageError(f"{_skipped(root, len(names), skipped)}\n  none is left; {fix}")
    return {"kept": kept, "skipped": sorted(skipped)}


def _uneven(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> MixedSizes:
    sizes = f"{shape[1]}×{shape[2]} pixels (height × width), {other} {expected[1]}×{expected[2]}"
    return MixedSizes(f"{name} is {sizes}", min(expected[1:]))


def _skipped(root: Path, total: int, skipped: list[str]) -> str:
    more = [f"… and {len(skipped) - 20} more"] if len(skipped) > 20 else []
    heading = f"left out {len(skipped)} of the {total} images in {root}, which cannot be read"
    return "\n  ".join([f"{heading}:", *skipped[:20], *more])
