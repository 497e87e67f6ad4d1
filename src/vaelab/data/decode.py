"""Image files: finding them in a folder, and their pixels, whatever the format, mode and orientation."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # whatever the suffix; PostScript would run Ghostscript


def is_image(name: str) -> bool:
    """Whether a relative path with forward slashes looks like an image; hidden files and folders do not."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden


def image_names(root: Path) -> list[str]:
    """Relative paths with forward slashes, sorted; hidden files and folders are passed over."""
    paths = ((path, path.relative_to(root).as_posix()) for path in root.rglob("*"))
    return sorted(name for path, name in paths if is_image(name) and path.is_file())


def decode(file: Path | IO[bytes], channels: int, frame: "Callable[[Image], Image] | None" = None) -> np.ndarray | str:
    """uint8 [channels, H, W] of the image, after `frame` if given; or in words why the file cannot be read."""
    try:
        image = read_image(file, channels)
        pixels = np.array(frame(image) if frame else image)
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
        named = str(file) if isinstance(file, Path) else file
        return str(error).replace(f" {named!r}", "") or type(error).__name__
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def central(size: int | tuple[int, int]) -> "Callable[[Image], Image]":
    """The central square resized to size × size, or the largest centre of that shape to (width, height)."""
    from PIL import Image, ImageOps

    shape = (size, size) if isinstance(size, int) else size
    return lambda image: ImageOps.fit(image, shape, Image.Resampling.BICUBIC)


def open_image(file: Path | IO[bytes]) -> "Image":
    """A Pillow image whose pixels are not decoded yet; OSError for what is none of FORMATS, ValueError for a bomb.

    The only place that opens image files, since what they are is told by their content, which may be hostile.
    """
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS or math.inf
    try:
        image = Image.open(file, formats=FORMATS)
        if image.width * image.height > limit:
            raise Image.DecompressionBombError
    except Image.DecompressionBombError as error:  # Pillow's own comes at twice the limit
        raise ValueError(f"more than {limit:,} pixels, as if made to exhaust memory; make it smaller") from error
    return image


def read_image(file: Path | IO[bytes], channels: int) -> "Image":
    """A Pillow image, upright, of 8 bits and 1 or 3 channels; raises whatever Pillow's decoders raise."""
    from PIL import ImageOps

    with open_image(file) as image:
        return _eight_bit(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")


def _eight_bit(image: "Image") -> "Image":
    """Grey levels of 16 bits, which Pillow would clip to 255, scaled to 8."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray((levels.clip(0, 65535) // 257).astype(np.uint8))
