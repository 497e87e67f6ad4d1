"""Image files: finding them in a folder, and their pixels, whatever the format, mode and orientation."""

from pathlib import Path

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def image_names(root: Path) -> list[str]:
    """Relative paths with forward slashes, sorted; hidden files and folders are passed over."""
    paths = (p.relative_to(root) for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p.as_posix() for p in paths if not any(part.startswith((".", "__MACOSX")) for part in p.parts))


def decode(path: Path, channels: int, size: int | tuple[int, int] | None = None) -> np.ndarray | str:
    """uint8 [channels, H, W], or in words why the file cannot be read.

    With `size`, the central square, resized to size × size, or what fits into (width, height); without, the image as
    it is.
    """
    from PIL import Image, ImageOps

    try:
        image = open_image(path, channels)
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
        return str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    if size is not None:
        image = ImageOps.fit(image, (size, size) if isinstance(size, int) else size, Image.Resampling.BICUBIC)
    pixels = np.array(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def open_image(path: Path, channels: int):
    """A Pillow image, upright, of 8 bits and 1 or 3 channels; raises whatever Pillow's decoders raise."""
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        return _eight_bit(ImageOps.exif_transpose(file)).convert("L" if channels == 1 else "RGB")


def _eight_bit(image):
    """Grey levels of 16 bits, which Pillow would clip to 255, scaled to 8."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray((levels.clip(0, 65535) // 257).astype(np.uint8))
