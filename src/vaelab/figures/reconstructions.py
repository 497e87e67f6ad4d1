"""Images and what the model makes of them, one below the other."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.data.source import Split
from vaelab.figures.about import About
from vaelab.figures.style import house
from vaelab.figures.tiles import (
    Colours,
    cell,
    channel_rows,
    enlarge,
    few_images,
    join,
    mount,
    panels,
    row_centres,
    shown,
    tile,
)
from vaelab.metrics.batches import batches
from vaelab.model import VAE
from vaelab.registry import register

SHOWN = 20
LABELS = ("original", "reconstruction")
APART = 12  # pixels between one pair of rows and the next


@register(
    "figure",
    "reconstructions",
    About(
        "Reconstructions",
        "Held-out images, and directly below each what the model makes of it.",
        "reconstructions",
        first=True,
        usual=True,
    ),
)
@torch.no_grad()
def pairs(model: VAE, split: Split, colours: Colours = None, *, title: str = "Reconstructions") -> Figure:
    """The first images of a split above their reconstructions."""
    x, y = next(batches(model, split, SHOWN))
    above, below = (shown(images.cpu(), colours) for images in (x, model.reconstruct(x, y)))
    count = few_images(len(above), above.shape)
    return reconstructions(above[:count], below[:count], title=title)


@house
def reconstructions(originals: ArrayLike, back: ArrayLike, *, title: str = "Reconstructions") -> Figure:
    """Pairs of rows: originals [N, C, H, W], and directly below each its reconstruction."""
    above, below = np.asarray(originals), np.asarray(back)
    per_row = balanced(*above.shape)
    rows = [np.s_[i : i + per_row] for i in range(0, len(above), per_row)]
    factor = enlarge(2 * len(rows), per_row, above.shape)
    bands = [tile(np.concatenate([above[r], below[r]]), len(above[r]), factor=factor) for r in rows]
    apart = APART * min(2, panels(above.shape))
    band = bands[0].shape[0] + apart
    heights = [y for i in range(len(bands)) for y in row_centres(2, above.shape, factor, start=i * band)]
    channels = channel_rows(heights, above.shape, factor)
    return mount(join(bands, apart, axis=0), title=title, rows=(heights, LABELS * len(bands)), channels=channels)[0]


def balanced(n: int, *image: int) -> int:
    """Columns for a sheet of images [C, H, W] that is wider than tall, with the last row as full as can be."""
    height, width = cell(image, 1)
    rows = -(-n // min(max(10, round(math.sqrt(3.2 * n * height / width))), max(10, few_images(n, image))))
    return -(-n // rows)
