"""Ways through the latent from one image to another."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from vaelab.data.source import Split
from vaelab.distributions.latent import location
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import decoded
from vaelab.figures.style import ACCENT, house
from vaelab.figures.tiles import as_images, centres, enlarge, join, label_columns, mount, tile
from vaelab.metrics.batches import batches
from vaelab.model import VAE
from vaelab.registry import register

PAIRS = 8
APART = 8  # pixels between an end and the steps between
NOTE = "Left and right: reconstructions of real images. Between them: equal steps in the latent."


@register(
    "figure", "interpolations", About("Interpolations", "Straight lines in latent space between pairs of images.")
)
@torch.no_grad()
def paths(model: VAE, split: Split, *, title: str = "Interpolations") -> Figure:
    """Straight lines between the latents of pairs of images."""
    if len(split) < 2:
        raise NotApplicable("it needs two test images or more")
    x, y = next(batches(model, split, 2 * PAIRS))
    means = location(model.q_z(x, y)).cpu()
    start, end = means[: len(means) // 2, None], means[len(means) // 2 : len(means) // 2 * 2, None]
    y = None if y is None else y[: len(start), None]  # the class of the first of a pair, all the way
    way = torch.lerp(start, end, torch.linspace(0, 1, 11)[:, None])
    return interpolations(decoded(model, way, y), title=title)


@house
def interpolations(images: ArrayLike, *, title: str = "Interpolations") -> Figure:
    """Images [R, S, C, H, W] in a row per pair; the ends stand apart under a bar, columns name the share of the way."""
    array = as_images(images, dimensions=5)
    rows, steps, _, _, width = array.shape
    factor = enlarge(rows, steps, array.shape)
    parts = [part for part in (array[:, :1], array[:, 1:-1], array[:, -1:]) if part.size]
    tiles = [tile(p.reshape(-1, *p.shape[2:]), p.shape[1], factor=factor) for p in parts]
    figure, axes = mount(join(tiles, APART, axis=1), title=title, note=NOTE, top=14)
    size, right = width * factor, tiles[0].shape[1]
    for x in (0, picture_width(tiles) - right):
        axes.add_patch(Rectangle((x - 0.5, -4.5), right, 2, color=ACCENT, linewidth=0, clip_on=False))
    label_columns(axes, places(steps, size), [f"{t:.0%}" for t in np.linspace(0, 1, steps)])
    return figure


def picture_width(tiles: list[np.ndarray]) -> int:
    """Pixels of the joined parts."""
    return sum(t.shape[1] for t in tiles) + APART * (len(tiles) - 1)


def places(steps: int, size: int) -> list[float]:
    """Centres of the columns: ends and steps between are APART from each other."""
    between = centres(steps - 2, size, start=size + APART) if steps > 2 else []
    end = between[-1] + (size + 1) / 2 + APART if between else size + APART
    return [*centres(1, size), *between, *centres(1, size, start=end)]
