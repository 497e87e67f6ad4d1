"""Images decoded live: whenever they are asked for, of which no copy is kept."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data.encoded.ahead import Decode, attempt
from vaelab.data.encoded.decode import Channels
from vaelab.data.encoded.decoded import left_out
from vaelab.data.encoded.files import ImageFiles
from vaelab.data.encoded.look import look
from vaelab.data.encoded.tiff import Shape
from vaelab.data.split import Split
from vaelab.data.stored import Images
from vaelab.errors import UsageError


class LiveImages(Images):
    """Encoded images, each of which is decoded when it is asked for; the first one shows what all come out as."""

    def __init__(self, files: ImageFiles, where: Path, decode: Decode) -> None:
        self.files, self.where, self.decode = files, where, decode
        self._like = np.zeros_like(self._decoded(0))
        super().__init__(len(files), self._like.shape, torch.from_numpy(self._like).dtype)

    def take(self, rows: Tensor) -> Tensor:
        """Decoded; UsageError, naming the file, where one is broken or comes out as another shape or type."""
        out, like = np.empty((len(rows), *self._like.shape), self._like.dtype), self._like
        for i, number in enumerate(rows.tolist()):
            found = self._decoded(number)
            if found.shape != like.shape or found.dtype != like.dtype:
                kinds = [f"{'×'.join(map(str, x.shape))} of {x.dtype}" for x in (found, like)]
                what = f"{self._path(number)} comes out as {kinds[0]}, the others as {kinds[1]}"
                raise UsageError(what, "remove it, or bring all images to one size and kind")
            out[i] = found
        return torch.from_numpy(out)

    def _decoded(self, number: int) -> np.ndarray:
        found = attempt(self.decode, self.files.names[number], self.files.open(number))
        if isinstance(found, str):
            raise UsageError(f"{self._path(number)} cannot be read: {found}", "mend or remove it")
        return found

    def _path(self, number: int) -> Path:
        return self.where / str(self.files.names[number])


def decode_live(
    where: Path,
    found: ImageFiles,
    decode: Callable[..., np.ndarray],
    channels: Channels,
    framed: Callable[[Shape], Shape],
    fix: str,
    *,
    labels: Tensor | None = None,
    factors: Tensor | None = None,
) -> tuple[Split, list[int]]:
    """All images, in their order, decoded when they are asked for, what is known about them, and the place of each.

    The heads of all files are read. Those that have none are listed in one warning and left out; UsageError where none
    is left (`fix` says what to do then), or where the images would come out in several sizes, depths or kinds. Of 8
    bits, `auto` channels are 1 where no file has colours, else 3.
    """
    shapes, broken = look(found, where, framed)
    skipped = sorted(f"{found.names[i]}: {why}" for i, why in broken.items())
    if not shapes:
        raise UsageError(f"{left_out(where, len(found), skipped)}\n  none is left; {fix}")
    if skipped:
        warnings.warn(left_out(where, len(found), skipped), stacklevel=3)
    if channels == "auto" and all(shape.depth == "uint8" for shape in shapes):
        channels = max(shape.channels for shape in shapes)
    kept = [i for i in range(len(found)) if i not in broken]
    files = found.at(np.array(kept)) if broken else found
    images = LiveImages(files, where, partial(decode, channels=channels))
    return Split(images, *(None if t is None else t[kept] for t in (labels, factors))), kept
