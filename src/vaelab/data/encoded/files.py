"""Encoded images wherever they lie, reached by number: in a folder, an archive, shards or a table."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from vaelab.errors import UsageError
from vaelab.io.files import parsing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
STACKS = (".tif", ".tiff")  # of those, what may be many images
HIDDEN = (".", "__MACOSX")


class Page(NamedTuple):
    """One of the images in a TIFF, whose pages are told apart as the option `pages` says."""

    file: Path | IO[bytes]
    number: int = 0
    pages: str = "auto"  # images, channels, or what the file's axes say
    stacks: Sequence[Any] = ()  # where the images are in the file, once that is known


Opened = Path | IO[bytes] | Page


@dataclass(frozen=True)
class ImageFiles:
    """Encoded images: their names, `open(number)`, from any thread, and `stamp()`, JSON that changes when one does."""

    names: Sequence[str]
    open: Callable[[int], Opened]
    stamp: Callable[[], Any]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.names)

    def at(self, order: np.ndarray) -> "ImageFiles":
        """Those with these numbers, in this order."""
        names = [self.names[i] for i in map(int, order)]
        return ImageFiles(names, lambda i: self.open(int(order[i])), self.stamp)


def in_folder(root: Path) -> ImageFiles:
    """The images below a folder."""
    names = image_names(root)
    return ImageFiles(names, lambda i: root / names[i], lambda: [stamp(root / name) for name in names])


def one_file(path: Path) -> ImageFiles:
    """A single file, of which pages may be images."""
    return ImageFiles([path.name], lambda i: path, lambda: stamp(path))


def stamp(path: Path) -> list[int]:
    """Size and time of change, by which a changed file is noticed; zeros where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def is_image(name: str) -> bool:
    """Whether a relative path with forward slashes looks like an image; hidden files and folders do not."""
    hidden = any(part.startswith(HIDDEN) for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden


def image_names(root: Path) -> list[str]:
    """Relative paths with forward slashes, sorted; hidden files and folders are passed over, links are followed.

    UsageError for a pipe, a socket or a device with the name of an image, which would not end when it is read, and for
    a link to a folder that it lies in.
    """
    found: list[str] = []
    _walk(root, "", (_place(root),), found)
    return sorted(found)


def refuse_bomb(width: int, height: int) -> None:
    """ValueError for more pixels than Pillow's limit, before memory is taken for them."""
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        limit = f"{Image.MAX_IMAGE_PIXELS:,} pixels"
        raise ValueError(f"more than {limit}, as if made to exhaust memory; make it smaller")


def _walk(folder: str | Path, before: str, above: tuple[tuple[int, int], ...], found: list[str]) -> None:
    with parsing(Path(folder)), os.scandir(folder) as entries:
        for entry in entries:
            name = before + entry.name
            if entry.name.startswith(HIDDEN):
                continue
            mode = stat.S_IFREG if entry.is_file(follow_symlinks=False) else _mode(entry)
            if stat.S_ISDIR(mode):
                place = _place(entry.path)
                if place in above:
                    raise UsageError(f"{entry.path} is a link to a folder that it lies in; remove the link")
                _walk(entry.path, f"{name}/", (*above, place), found)
            elif is_image(name):
                if mode and not stat.S_ISREG(mode):
                    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
                    raise UsageError(f"{entry.path} is {kind} and no image file; remove it")
                found.append(name)


def _mode(entry: os.DirEntry) -> int:
    """What a link leads to, or another entry is; 0 for a link that leads nowhere, of which is told when it is read."""
    try:
        return entry.stat().st_mode
    except OSError:
        return 0


def _place(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino
