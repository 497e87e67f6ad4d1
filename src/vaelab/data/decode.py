"""Image files: finding them in a folder, and their pixels, whatever the format, mode and orientation."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from vaelab.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # whatever the suffix; PostScript would run Ghostscript
PIXELS, AHEAD = 2**26, 64  # of images decoded ahead of their use, and how many these may be: about 0.4 GB, some files
DRAFT = 3  # times the size wanted, above which a coarser JPEG gives the same picture

Opened = Path | IO[bytes]


def is_image(name: str) -> bool:
    """Whether a relative path with forward slashes looks like an image; hidden files and folders do not."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden


def image_names(root: Path) -> list[str]:
    """Relative paths with forward slashes, sorted; hidden files and folders are passed over."""
    paths = ((path, path.relative_to(root).as_posix()) for path in root.rglob("*"))
    return sorted(name for path, name in paths if is_image(name) and path.is_file())


def decode_all(
    names: Iterable[str], find: Callable[[str], Opened], decode: "Callable[[Image], np.ndarray]", size: int = 0
) -> Iterator[np.ndarray | str]:
    """What `decode` makes of the image that `find` finds by each name, in turn; or in words why it cannot be read.

    In threads, because Pillow works outside the lock. What is at work or not yet taken has PIXELS at most, or is a
    single image. A `size` is what images will be shrunk to: JPEGs are decoded no finer than that needs.
    """
    waiting: deque[tuple[int, Future]] = deque()
    with ThreadPoolExecutor() as workers:
        for name in names:
            image = _opened(find(name), size)
            pixels = 0 if isinstance(image, str) else image.width * image.height
            while waiting and (len(waiting) == AHEAD or sum(p for p, _ in waiting) + pixels > PIXELS):
                yield waiting.popleft()[1].result()
            waiting.append((pixels, workers.submit(_decoded, name, image, decode)))
        while waiting:
            yield waiting.popleft()[1].result()


def _opened(file: Opened, size: int) -> "Image | str":
    try:
        return open_image(file, size)
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
        named = str(file) if isinstance(file, Path) else file
        return str(error).replace(f" {named!r}", "") or type(error).__name__


def _decoded(name: str, image: "Image | str", decode: "Callable[[Image], np.ndarray]") -> np.ndarray | str:
    if isinstance(image, str):
        return image
    try:
        with image:
            return decode(image)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    except Exception as error:  # as above
        return str(error) or type(error).__name__


def open_image(file: Opened, size: int = 0) -> "Image":
    """A Pillow image whose pixels are not decoded yet; OSError for what is none of FORMATS, ValueError for a bomb.

    The only place that opens image files, since what they are is told by their content, which may be hostile. With
    `size`, a JPEG comes at the coarsest of its scales that is finer than that by DRAFT.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow's error comes at twice its limit
            image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS:,} pixels"
        raise ValueError(f"more than {limit}, as if made to exhaust memory; make it smaller") from error
    if size:
        image.draft(None, (DRAFT * size, DRAFT * size))
    return image


def read_image(file: Opened, channels: int) -> "Image":
    """A Pillow image as `upright` has it, of a file; raises whatever Pillow's decoders raise."""
    with open_image(file) as image:
        return upright(image, channels)


def upright(image: "Image", channels: int) -> "Image":
    """The image turned as its mark says, of 8 bits and 1 or 3 channels."""
    from PIL import ImageOps

    return _eight_bit(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")


def as_array(image: "Image") -> np.ndarray:
    """uint8 [C, H, W] of an upright image."""
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def central(image: "Image", size: int | tuple[int, int]) -> "Image":
    """The central square resized to size × size, or the largest centre of that shape to (width, height)."""
    from PIL import Image, ImageOps

    return ImageOps.fit(image, (size, size) if isinstance(size, int) else size, Image.Resampling.BICUBIC)


def _eight_bit(image: "Image") -> "Image":
    """Grey levels of 16 bits, which Pillow would clip to 255, scaled to 8."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray((levels.clip(0, 65535) // 257).astype(np.uint8))
