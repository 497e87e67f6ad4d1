"""Images in and out of files: numbered PNGs, as other tools read and write them."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vaelab.data.decode import read_image
from vaelab.data.images import to_bytes
from vaelab.data.source import Split
from vaelab.errors import UsageError, WrongSize
from vaelab.metrics.batches import batches
from vaelab.model import VAE


@torch.no_grad()
def reconstructions(model: VAE, split: Split) -> Tensor:
    """The reconstructions of images [N, C, H, W] in [0, 1]."""
    return torch.cat([model.reconstruct(x, y).cpu() for x, y in batches(model, split, 500)])


def make_empty(folder: Path) -> None:
    """A new folder, or one without anything in it; UsageError for another."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose a new folder, so that no images mix")


def write_images(images: Tensor, folder: Path) -> int:
    """Images [N, C, H, W] in [0, 1] as 00000.png, 00001.png, …, rounded to 8 bits; returns N."""
    writer(folder)(images)
    return len(images)


def writer(folder: Path) -> Callable[[Tensor], None]:
    """`write(images)` goes on where it was in numbering what it writes into a new folder (see `write_images`)."""
    make_empty(folder)
    numbers = count()

    def write(images: Tensor) -> None:
        for image in to_bytes(images).movedim(1, -1).numpy():
            flat = image.squeeze(-1) if image.shape[-1] == 1 else image
            Image.fromarray(flat).save(folder / f"{next(numbers):05d}.png")

    return write


def read_images(paths: Sequence[Path], shape: tuple[int, int, int], fit: bool, binary: bool = False) -> Tensor:
    """Image files as uint8 [N, C, H, W] of the model's shape; with `fit`, cropped and resized; `binary`: 0 or 255."""
    channels, height, width = shape
    arrays = []
    for path in paths:
        try:
            image = read_image(path, channels)
        except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
            raise UsageError(f"cannot read the image {path}; name a PNG, JPEG or other image file") from error
        if image.size != (width, height):
            if not fit:
                size = f"{image.size[0]}×{image.size[1]}"
                raise WrongSize(f"{path} is {size}, the model takes {width}×{height}")
            image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
        arrays.append(np.asarray(image).reshape(height, width, channels))
    images = torch.from_numpy(np.stack(arrays)).movedim(-1, 1).contiguous()
    return (images > 127).byte() * 255 if binary else images
