"""Images in and out of files: numbered ones of the values that a set stores, as other tools read and write them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from vaelab.data.encoded.decode import as_array, read_pixels, shape_in
from vaelab.data.encoded.deep import by_plane
from vaelab.data.images import to_bytes, to_floats
from vaelab.data.scale import EIGHT_BIT, Scale, scaled
from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.errors import UsageError, WrongSize
from vaelab.io.formatting import counted
from vaelab.metrics.batches import batches
from vaelab.model import VAE

TOGETHER = 500  # images that are written at once
TRAINED = "the images that the model was trained on"
DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "float32": "real values"}
PNGS = {(1, "uint8"), (3, "uint8"), (1, "uint16")}  # channels and type of images that a PNG holds


@torch.no_grad()
def reconstructed(model: VAE, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Images x and their reconstructions, both [B, C, H, W] on the CPU, a batch after another."""
    for x, y in batches(model, split, TOGETHER):
        yield x.cpu(), model.reconstruct(x, y).cpu()


def reconstructions(model: VAE, split: Split) -> Tensor:
    """The reconstructions x [N, C, H, W] of images."""
    return torch.cat([back for _, back in reconstructed(model, split)])


def make_empty(folder: Path) -> None:
    """A new folder, or one without anything in it; UsageError for another."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose a new folder, so that no images mix")


def as_stored(x: Tensor, scale: Scale) -> Tensor:
    """Images x as they would come back from files: uint8 of 8 bits, else floats, rounded to values that are stored."""
    return to_bytes(x) if scale == EIGHT_BIT else scale.to_unit(scale.to_values(x))


def by_scale(values: Tensor, scale: Scale, of: str, others: str) -> Tensor:
    """Stored values as images of a scale: uint8 as they are, else x; UsageError where `others` are of another type."""
    kind = str(values.dtype).removeprefix("torch.")
    if kind != scale.stored:
        raise UsageError(*_of_another_type(kind, scale, of, others))
    return scaled(values, scale)


def _of_another_type(kind: str, scale: Scale, of: str, others: str) -> tuple[str, str]:
    """The problem and its fix."""
    return f"{of} has {DEPTHS[kind]}, {others} {DEPTHS[scale.stored]}", f"give images of {DEPTHS[scale.stored]}"


def write_images(images: Tensor | Images, folder: Path, scale: Scale = EIGHT_BIT) -> int:
    """Images [N, C, H, W], uint8 or x by a scale, as files 00000, 00001, … of the values that are stored; returns N.

    Grey and colour of 8 bits and grey of 16 become PNGs, all others TIFFs of one page, a plane for each channel.
    """
    write = writer(folder, scale)
    for part in images.split(TOGETHER):
        write(to_floats(part))
    return len(images)


def writer(folder: Path, scale: Scale = EIGHT_BIT) -> Callable[[Tensor], None]:
    """`write(x)` goes on where it was in numbering what it writes into a new folder (see `write_images`)."""
    make_empty(folder)
    numbers = count()

    def write(x: Tensor) -> None:
        for values in scale.to_values(x).numpy():
            write_image(values, folder / file_name(next(numbers), len(values), scale))

    return write


def file_name(number: int, channels: int, scale: Scale) -> str:
    """The name of an image's file: that of a PNG, or of a TIFF where a PNG would not hold it."""
    return f"{number:05d}.{'png' if (channels, scale.stored) in PNGS else 'tif'}"


def write_image(values: NDArray, path: Path) -> None:
    """Values [C, H, W], uint8, uint16 or float32, as a PNG or a TIFF, from which they are read unchanged."""
    if path.suffix == ".png":
        as_image(values).save(path)
        return
    from tifffile import imwrite

    alone = len(values) == 1
    planes: dict[str, Any] = {} if alone else {"planarconfig": "separate"}
    axes = {"axes": "YX" if alone else "CYX"}
    imwrite(path, values[0] if alone else values, photometric="minisblack", metadata=axes, **planes)


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], fit: bool, scale: Scale = EIGHT_BIT, binary: bool = False
) -> Tensor:
    """Image files [N, C, H, W] of the model's shape and scale; with `fit`, cropped and resized; `binary`: 0 or 255.

    Grey becomes colours and colours grey; UsageError for other channels, another depth, and what cannot be read.
    """
    images = torch.from_numpy(np.stack([_read(path, shape, scale, fit) for path in paths]))
    return (images > 127).byte() * 255 if binary else by_scale(images, scale, str(paths[0]), TRAINED)


def _read(path: Path, shape: tuple[int, int, int], scale: Scale, fit: bool) -> NDArray:
    """The values [C, H, W] in a file."""
    channels, height, width = shape
    try:
        found = shape_in(path)
        alike = found.channels == channels or {found.channels, channels} == {1, 3}
        pixels = read_pixels(path, channels) if alike and found.depth == scale.stored else None
    except UsageError as error:
        raise UsageError(f"{path}: {error.problem}", error.fix) from error
    except Exception as error:  # the decoders raise whatever a broken file makes them stumble over
        raise UsageError(f"cannot read the image {path}; name a PNG, JPEG or other image file") from error
    if not alike:
        has = counted(found.channels, "channel")
        raise UsageError(f"{path} has {has}, the model takes {channels}", "give images like its own")
    if pixels is None:
        raise UsageError(*_of_another_type(found.depth, scale, str(path), TRAINED))
    if pixels.shape[1:] == (height, width):
        return pixels
    if not fit:
        size = f"{pixels.shape[2]}×{pixels.shape[1]}"
        raise WrongSize(f"{path} is {size}, the model takes {width}×{height}")
    whole = partial(ImageOps.fit, size=(width, height), method=Image.Resampling.LANCZOS)
    if (channels, scale.stored) in PNGS and scale.stored == "uint8":
        return as_array(whole(as_image(pixels)))
    return by_plane(whole, pixels)


def as_image(values: NDArray) -> Image.Image:
    """A Pillow image of values [C, H, W] in one of the forms of PNGS."""
    return Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0)))
