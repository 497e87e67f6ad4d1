"""TIFF files of several pages, as the images that they hold."""

from typing import Any, Literal

from vaelab.data.decode import open_image
from vaelab.data.encoded import STACKS, ImageFiles, Opened, Page
from vaelab.data.tiff import count_images

Pages = Literal["auto", "images", "channels"]
DESCRIPTION = 270  # a tag of TIFF, in which more images may be described than there are pages


def in_pages(files: ImageFiles, pages: Pages) -> ImageFiles:
    """The same images, where each file of several pages is that many, `stack.tif#0`, `stack.tif#1`, …

    Pages are channels of one image where the file's axes say so, or where `pages` does.
    """
    names: list[str] = []
    places: list[tuple[int, int | None]] = []  # file, and the number of the image in it, where it has pages
    for i, name in enumerate(files.names):
        count = _count(files.open(i), pages) if name.lower().endswith(STACKS) else None
        names += [name] if count in (None, 1) else [f"{name}#{page}" for page in range(count)]
        places += [(i, None)] if count is None else [(i, page) for page in range(count)]

    def open_page(number: int) -> Opened:
        i, page = places[number]
        file = files.open(i)
        return file if page is None or isinstance(file, Page) else Page(file, page, pages)

    return ImageFiles(names, open_page, files.stamp)


def _count(file: Opened, pages: Pages) -> int | None:
    """How many images are in a TIFF of several pages; None for another file, also one that cannot be read."""
    if isinstance(file, Page):
        return None
    try:
        image: Any = open_image(file)
        with image:
            if image.n_frames == 1 and DESCRIPTION not in image.tag_v2:
                return None
    except Exception:  # Pillow's decoders raise whatever they stumble over, also what tifffile reads
        pass
    try:
        return count_images(Page(file, 0, pages)) or None
    except Exception:  # of this is told when it is decoded
        return None
