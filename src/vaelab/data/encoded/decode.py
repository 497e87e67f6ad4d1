"""Pixels of image files, whatever the format, mode, depth and orientation."""

from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from vaelab.data.encoded import deep
from vaelab.data.encoded.files import Opened, Page, refuse_bomb
from vaelab.data.encoded.jpeg import read_small
from vaelab.data.encoded.tiff import Shape, is_tiff, read_page, shape_of

if TYPE_CHECKING:
    from PIL.Image import Image

# Whatever the suffix; PostScript would run Ghostscript.
FORMATS = {"PNG": "Png", "JPEG": "Jpeg", "WEBP": "WebP", "BMP": "Bmp", "GIF": "Gif", "TIFF": "Tiff", "PPM": "Ppm"}
DRAFT = 3  # times the size wanted, above which a coarser JPEG gives the same picture
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "F")  # Pillow's modes without colours
MARKED = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # where a mark of rotation may be
BITS, SAMPLES, EXTRA = 258, 277, 338  # tags of TIFF

Channels = Literal["auto"] | int


def open_image(file: Path | IO[bytes], size: int = 0) -> "Image":
    """A Pillow image whose pixels are not decoded yet; OSError for what is none of FORMATS, ValueError for a bomb.

    The only place that opens image files with Pillow, since what they are is told by their content, which may be
    hostile. Not by Pillow's own `open`, which warns of bombs, and warnings cannot be caught in threads. With `size`, a
    JPEG comes at the coarsest of its scales that is finer than that by DRAFT.
    """
    stream = file.open("rb") if isinstance(file, Path) else file
    try:
        image = _identified(stream)
        refuse_bomb(image.width, image.height)
    except BaseException:
        if stream is not file:
            stream.close()
        raise
    image._exclusive_fp = stream is not file  # then the image closes it, as if it had opened it itself
    if size:
        image.draft(None, (DRAFT * size, DRAFT * size))
    return image


def _identified(stream: IO[bytes]) -> Any:
    from PIL import UnidentifiedImageError

    stream.seek(0)
    prefix = stream.read(16)
    for read, accepts in _readers():
        if accepts is None or accepts(prefix) is True:
            stream.seek(0)
            try:
                return read(stream)
            except SyntaxError:  # another format
                continue
    raise UnidentifiedImageError("cannot identify image file")


@cache
def _readers() -> list[Any]:
    """What reads each of FORMATS, and what tells by its first bytes whether a file may be of it."""
    from PIL import Image

    for module in FORMATS.values():
        import_module(f"PIL.{module}ImagePlugin")
    return [Image.OPEN[name] for name in FORMATS]


def shape_in(file: Opened, size: int = 0) -> Shape:
    """The shape of the image in a file, from its head alone, as it is drafted for `size`; raises as `read_pixels`.

    Of 8 bits, the channels are 1 or 3 as the file has them: colours may be equal.
    """
    image = _opened(file, size)
    if isinstance(image, Page):
        return shape_of(image)
    with image:
        (width, height), deep_mode = image.size, str(image.tile[0][3]) if image.tile and _is_deep(image) else ""
        channels = 1 if image.mode in GREY or deep_mode.startswith("L") else 3
        if image.format != "TIFF" and not MARKED.isdisjoint(image.info) and image.getexif().get(0x0112, 1) > 4:
            width, height = height, width  # lying on its side; Pillow turns TIFFs itself
        depth = "float32" if image.mode == "F" else "uint16" if _is_deep(image) else "uint8"
        return Shape(channels, height, width, depth)


def read_pixels(file: Opened, channels: Channels = "auto", size: int | tuple[int, int] | None = None) -> np.ndarray:
    """The image in a file, [C, H, W] of the depth it has there: uint8, uint16 or float32.

    Turned as its mark says, without opacity. `channels` 1 or 3 makes grey or colours of the other; of 8 bits, `auto` is
    as the file has it. With `size`, it is the central square resized to that, or the largest centre of that shape.
    Raises whatever the decoders raise for a broken file, UsageError for other channels than it has.
    """
    if size is None and (small := read_small(file)) is not None and channels in ("auto", len(small)):
        return small
    image = _opened(file, int(np.max(size)) if size else 0)
    if not isinstance(image, Page):
        with image:
            if not _is_deep(image):
                grey = channels == 1 or (channels == "auto" and image.mode in GREY)
                whole = upright(image, 1 if grey else 3)
                pixels = as_array(central(whole, size) if size else whole)
                return pixels if channels in ("auto", len(pixels)) else deep.of_channels(pixels, channels)
            pixels = _deep(image, file)
    else:
        pixels = read_page(image)
    pixels = pixels if channels == "auto" else deep.of_channels(pixels, channels)
    return deep.by_plane(partial(central, size=size), pixels) if size else pixels


def _opened(file: Opened, size: int = 0) -> Any:
    """A Pillow image, or the page of a TIFF that Pillow cannot read, or would read as less than it is."""
    if isinstance(file, Page):
        return file
    try:
        image = open_image(file, size)
    except OSError:
        if is_tiff(file):
            return Page(file)
        raise
    if image.format == "TIFF" and not _is_whole(image):
        with image:
            return Page(file)
    return image


def _is_whole(image: Any) -> bool:
    """Whether Pillow has all bits and channels of a TIFF."""
    tags = image.tag_v2
    bits, samples, extra = (tags.get(tag, default) for tag, default in ((BITS, 1), (SAMPLES, 1), (EXTRA, ())))
    if image.mode in ("I;16", "I;16B", "F"):
        return samples == 1
    return np.max(bits) <= 8 and samples <= 4 and 0 not in np.ravel(extra)


def _is_deep(image: Any) -> bool:
    """Whether an image has more than 8 bits, also where Pillow would cut them to these."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return True
    return image.format == "PNG" and bool(image.tile) and str(image.tile[0][3]).endswith(";16B")


def _deep(image: Any, file: Any) -> np.ndarray:
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        pixels = deep.read_png(file)
    else:
        pixels = np.array(image)
        pixels = pixels.clip(0, 65535) if image.mode == "I" else pixels
        pixels = pixels.astype(np.float32 if image.mode == "F" else np.uint16, copy=False)[None]
    turned = not MARKED.isdisjoint(image.info) and image.format != "TIFF"
    return deep.turned(pixels, image.getexif().get(0x0112, 1)) if turned else pixels


def read_image(file: Path | IO[bytes], channels: int) -> "Image":
    """A Pillow image as `upright` has it, of a file; raises whatever Pillow's decoders raise."""
    with open_image(file) as image:
        return upright(image, channels)


def upright(image: "Image", channels: int) -> "Image":
    """The image turned as its mark says, of 8 bits and 1 or 3 channels."""
    from PIL import ImageOps

    image.load()  # a PNG may have its mark at its end
    if image.format in ("TIFF", None) or not MARKED.isdisjoint(image.info):
        image = ImageOps.exif_transpose(image)
    image, mode = _eight_bit(image), "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def as_array(image: "Image") -> np.ndarray:
    """uint8 [C, H, W] of an upright image."""
    # Not np.array(image), which asks for much that is known, and takes as long as a small image takes to decode.
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)
    return pixels.transpose(2, 0, 1).copy()


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
