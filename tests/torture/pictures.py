"""Files in the place of images: cut short, of other kinds, huge by their header or once unpacked, PostScript."""

import io
import os
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from torture.odd import damaged, zeros

PNG = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that says to be so large, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(pixels)) + _chunk(b"IEND", b"")


def picture(path: Path, random: Random) -> None:
    """Something that is no picture to be trained on."""
    place = os.fsencode(path)  # bytes, since a name may be no text
    path.unlink(missing_ok=True)
    how = random.random()
    if how < 0.05:
        os.mkdir(place)  # noqa: PTH102
    elif how < 0.1:
        os.symlink(place, place + b"x.png")  # noqa: PTH211
    else:
        with open(place, "wb") as file:  # noqa: PTH123
            file.write(random.choice(KINDS)(random))


def _broken(random: Random) -> bytes:
    return damaged(_of_another_kind(random), random)


def _of_another_kind(random: Random) -> bytes:
    stream = io.BytesIO()
    kind = random.choice(("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "ICO", "PDF", "EPS", "PCX", "TGA"))
    Image.fromarray(np.arange(20 * 16 * 3).astype(np.uint8).reshape(20, 16, 3)).save(stream, kind)
    return stream.getvalue()


def _of_another_mode(random: Random) -> bytes:
    stream, mode = io.BytesIO(), random.choice(("1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"))
    Image.new(mode, (20, 16)).save(stream, "TIFF" if mode in ("CMYK", "F") else "PNG")
    return stream.getvalue()


def _huge(random: Random) -> bytes:
    side = random.choice((30_000, 100_000, 2**31 - 1, 0))
    return random.choice([png(side, random.choice((1, side))), png(13_000, 13_000, bytes(13_000 * 200))])


def _unpacked_huge(random: Random) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return PNG + head + _chunk(random.choice((b"zTXt", b"iCCP", b"IDAT")), b"a\0\0x\x9c" + zeros(2000))


def _postscript(random: Random) -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\n{} loop\n"


def _text(random: Random) -> bytes:
    texts = [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"II*\0\x08\0\0\0" + b"\xff" * 300, b"", b"GIF89a"]
    return random.choice(texts)


KINDS = [_broken, _broken, _broken, _of_another_kind, _of_another_mode, _huge, _unpacked_huge, _postscript, _text]
