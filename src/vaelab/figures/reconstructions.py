"""Images and what the model makes of them, one below the other."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.data.source import Split
from vaelab.figures.about import About
from vaelab.figures.style import TEXT, house
from vaelab.figures.tiles import GAP, as_images, centres, enlarge, join, label_rows, mount, text_width, tile
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
def pairs(model: VAE, split: Split, *, title: str = "Reconstructions") -> Figure:
    """The first images of a split above their reconstructions."""
    x, y = next(batches(model, split, SHOWN))
    return reconstructions(x.cpu(), model.reconstruct(x, y).cpu(), title=title)


@house
def reconstructions(
    originals: ArrayLike, back: ArrayLike, *, columns: int | None = None, title: str = "Reconstructions"
) -> Figure:
    """Pairs of rows: originals [N, C, H, W], and directly below each its reconstruction."""
    above, below = as_images(originals, "originals"), as_images(back, "reconstructions")
    per_row = min(len(above), columns or balanced(*above.shape))
    factor = enlarge(2 * -(-len(above) // per_row), per_row, above.shape)
    bands = [
        pair(above[i : i + per_row], below[i : i + per_row], per_row, factor) for i in range(0, len(above), per_row)
    ]
    figure, axes = mount(join(bands, APART, axis=0), title=title, left=text_width(LABELS, TEXT) + 5)
    band, size = bands[0].shape[0] + APART, above.shape[2] * factor
    label_rows(axes, [y for i in range(len(bands)) for y in centres(2, size, start=i * band)], LABELS * len(bands))
    return figure


def pair(above: np.ndarray, below: np.ndarray, columns: int, factor: int) -> np.ndarray:
    """One row of originals over one row of reconstructions, white where the last row has no more images."""
    band = tile(np.concatenate([above, below]), len(above), factor=factor)
    missing = (columns - len(above)) * (above.shape[-1] * factor + GAP)
    return np.pad(band, ((0, 0), (0, missing), (0, 0)), constant_values=255)


def balanced(n: int, _: int, height: int, width: int) -> int:
    """Columns for a sheet that is wider than tall, with the last row as full as can be."""
    rows = -(-n // max(10, round(math.sqrt(3.2 * n * height / width))))
    return -(-n // rows)
