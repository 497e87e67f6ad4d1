"""Images of more than 8 bits as arrays [C, H, W] of uint16 or float32, for which Pillow has no modes."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from vaelab.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image


def read_png(file: Path | IO[bytes]) -> np.ndarray:
    """A PNG of 16 bits as uint16 [C, H, W], of 1 or 3 channels."""
    from imagecodecs import png_decode

    if isinstance(file, Path):
        content = file.read_bytes()
    else:
        file.seek(0)
        content = file.read()
    pixels = np.atleast_3d(png_decode(content))
    return np.ascontiguousarray(pixels[..., : 1 if pixels.shape[2] < 3 else 3].transpose(2, 0, 1))


def turned(pixels: np.ndarray, mark: int) -> np.ndarray:
    """Pixels [C, H, W] as an EXIF mark of orientation has them seen."""
    pixels = pixels.swapaxes(1, 2) if mark > 4 else pixels
    pixels = pixels[:, :, ::-1] if mark in (2, 3, 6, 7) else pixels
    pixels = pixels[:, ::-1] if mark in (3, 4, 7, 8) else pixels
    return np.ascontiguousarray(pixels)


def of_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Grey as colours or colours as grey, by the weights that Pillow has, too (ITU-R 601); UsageError for others."""
    if len(pixels) == channels:
        return pixels
    if len(pixels) == 1 and channels == 3:
        return np.repeat(pixels, 3, 0)
    if len(pixels) == 3 and channels == 1:
        grey = np.tensordot(np.array([0.299, 0.587, 0.114]), pixels, 1)[None]
        return (grey if pixels.dtype == np.float32 else grey.round()).astype(pixels.dtype)
    raise UsageError(f"it has {len(pixels)} channels, not {channels}", "set data.channels to what the images have")


def by_plane(change: "Callable[[Image], Image]", pixels: np.ndarray) -> np.ndarray:
    """What an operation of Pillow on grey images makes of each channel, in float32."""
    from PIL import Image

    planes = np.stack([np.asarray(change(Image.fromarray(plane.astype(np.float32)))) for plane in pixels])
    if pixels.dtype == np.float32:
        return planes
    return planes.round().clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
