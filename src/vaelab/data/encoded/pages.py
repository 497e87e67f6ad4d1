"""TIFF files of several pages, as the images that they hold."""

from typing import Any, Literal

from vaelab.data.encoded.decode import open_image
from vaelab.data.encoded.files import STACKS, ImageFiles, Opened, Page
from vaelab.data.encoded.tiff import Stack, stacks_in

Pages = Literal["auto", "images", "channels"]
DESCRIPTION = 270  # a tag of TIFF, in which more images may be described than there are pages


def in_pages(files: ImageFiles, pages: Pages) -> ImageFiles:
    """The same images, where each file of several pages is that many, `stack.tif#0`, `stack.tif#1`, …

    Pages are channels of one image where the file's axes say so, or where `pages` does.
    """
    names: list[str] = []
    places: list[tuple[int, int]] = []  # file, and the number of the image in it
    known: dict[int, list[Stack]] = {}
    for i, name in enumerate(files.names):
        stacks = _stacks(files.open(i), pages) if name.lower().endswith(STACKS) else []
        count = sum(map(len, stacks))
        names += [name] if count <= 1 else [f"{name}#{page}" for page in range(count)]
        places += [(i, page) for page in range(max(1, count))]
        known |= {i: stacks} if count else {}

    def open_page(number: int) -> Opened:
        i, page = places[number]
        file = files.open(i)
        return Page(file, page, pages, known[i]) if i in known and not isinstance(file, Page) else file

    return ImageFiles(names, open_page, files.stamp)


def _stacks(file: Opened, pages: Pages) -> list[Stack]:
    """What is in a TIFF of several pages; nothing for another file, also for one that cannot be read."""
    if isinstance(file, Page):
        return []
    try:
        image: Any = open_image(file)
        with image:
            if image.n_frames == 1 and DESCRIPTION not in image.tag_v2:
                return []
    except Exception:  # Pillow's decoders raise whatever they stumble over, also what tifffile reads
        pass
    try:
        return stacks_in(file, pages)
    except Exception:  # of this is told when it is decoded
        return []
