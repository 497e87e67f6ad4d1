"""Sources of encoded images: their options, and how a set is made of files, wherever these lie."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vaelab.data.axes import CHANNELS
from vaelab.data.encoded.decode import DRAFT, Channels, read_pixels
from vaelab.data.encoded.decoded import MixedChannels, decode_once
from vaelab.data.encoded.files import ImageFiles, Opened
from vaelab.data.encoded.live import decode_live
from vaelab.data.encoded.look import check_alike, look
from vaelab.data.encoded.tiff import Shape
from vaelab.data.images import check_fits, side_lengths
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import MixedSizes, UsageError
from vaelab.io import places
from vaelab.registry import Size


class Collection(NamedTuple):
    """Encoded images and what is known about each, in any order; `where` they lie is for sentences and the cache."""

    files: ImageFiles
    where: Path
    splits: np.ndarray | None = None  # of each image the number of its split: 0, 1, 2 for train, valid, test
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    factors: Tensor | None = None
    factor_names: tuple[str, ...] | None = None
    split_by: str | None = None

    def at(self, order: np.ndarray) -> "Collection":
        """The images in another order."""
        splits = None if self.splits is None else self.splits[order]
        labels, factors = (None if known is None else known[order] for known in (self.labels, self.factors))
        return self._replace(files=self.files.at(order), splits=splits, labels=labels, factors=factors)


@dataclass(frozen=True, kw_only=True)
class FilesSource(Source):
    """A set of encoded images; what is missing of the splits is taken from the training images, shuffled by `seed`.

    With `size`, the central square of each image is resized to size × size, or the largest centre of that shape to
    (width, height), and `crop`, `resize`, `pad` follow; without it, all must come out equally large. Rotation marks are
    obeyed, transparency is dropped. Images keep their depth: 8 or 16 bits, or real numbers. `channels` are by default
    those of the files; of 8 bits, 1 where all pixels are grey, whatever the files say, else 3. Decoded images are kept
    in the user's cache until a file or an option changes. Unreadable files are listed in one warning and left out.

    With `decode: live` no copy is kept: images are decoded in every epoch again, a few batches before their use, by all
    cores. The heads of all files are read first, and what they say is taken for granted: `channels` of `auto` are 1
    where no file has colours, even if all pixels are grey, and a file that breaks off later ends the run.
    """

    size: Size | tuple[Size, Size] | None = None
    channels: Literal["auto"] | Annotated[int, Field(ge=1, le=CHANNELS)] = "auto"
    decode: Literal["once", "live"] = "once"

    def find(self, directory: places.Directory) -> Collection:
        """Find and check the files, and say what is known about each; for each kind of source to define."""
        raise UsageError(f"{type(self).__name__} has no find(directory); write one that returns a Collection")

    def read(self, directory: places.Directory) -> Pool:
        """From the cache, or by decoding; UsageError without a readable image, or where images differ in kind."""
        found = self.find(directory)
        every = torch.arange(len(found.files))
        order = self.permutation(len(every))[every].numpy()  # first of all, so that splits are slices
        if found.splits is not None:
            order = order[np.argsort(found.splits[order], kind="stable")]
        found = found.at(order)
        check_fits((1, 3, *np.broadcast_to(self.size or 1, 2).tolist()), "lower data.size")
        images, kept = self._decoded(found)
        parts = [images] if found.splits is None else images.cut(found.splits[kept])
        train, *held_out = (part if len(part) else None for part in parts)
        return Pool(
            train or images[:0],
            *held_out,
            classes=found.classes,
            factor_names=found.factor_names,
            finished=True,
            split_by=found.split_by,
        )

    def pixels(self, file: Opened, channels: Channels | None = None) -> np.ndarray:
        """The image in a file, [C, H, W] of its own depth, as the options shape it; of grey pixels, one channel."""
        channels = self.channels if channels is None else channels
        pixels = read_pixels(file, channels, self.size)
        if self.crop or self.resize or self.pad:
            pixels = self._shaped(torch.from_numpy(pixels)[None])[0].numpy()
        grey = channels == "auto" and pixels.dtype == np.uint8 and len(pixels) == 3 and (pixels == pixels[:1]).all()
        return pixels[:1] if grey else pixels

    def _decoded(self, found: Collection) -> tuple[Split, list[int]]:
        """In the order of the files; grey and coloured ones together are decoded again, as coloured."""
        if self.decode == "live":
            known = {"labels": found.labels, "factors": found.factors}
            decode = self.pixels, self.channels, self._framed
            return decode_live(found.where, found.files, *decode, "correct the path", **known)
        try:
            return self._once(found, self.channels)
        except MixedChannels:
            return self._once(found, 3)
        except MixedSizes:
            look(found.files, found.where, self._framed)
            raise

    def _once(self, found: Collection, channels: Channels) -> tuple[Split, list[int]]:
        options = [self.size, self.channels, self.crop, self.resize, self.pad, DRAFT]
        return decode_once(
            self.name,
            found.where,
            found.files,
            options,
            partial(self.pixels, channels=channels),
            "correct the path",
            size=int(np.max(self.size or 0)),
            check=partial(check_alike, found.files, found.where, self._framed),
            labels=found.labels,
            factors=found.factors,
        )

    def _framed(self, shape: Shape) -> Shape:
        """The shape that an image comes out in; no number of channels where any will do."""
        width, height = np.broadcast_to(self.size, 2).tolist() if self.size else (shape.width, shape.height)
        height, width = side_lengths(height, width, self.crop, self.resize, self.pad)
        auto = self.channels == "auto"
        any_number = (auto and shape.depth == "uint8" and shape.channels in (1, 3)) or (
            not auto and shape.channels in (1, 3, self.channels) and self.channels in (1, 3)
        )
        return shape._replace(channels=0 if any_number else shape.channels, height=height, width=width)
