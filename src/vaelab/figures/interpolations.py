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
from vaelab.figures.tiles import (
    Colours,
    centres,
    channel_rows,
    enlarge,
    few_rows,
    join,
    label_columns,
    mount,
    row_centres,
    shown,
    tile,
)
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
def paths(model: VAE, split: Split, colours: Colours = None, *, title: str = "Interpolations") -> Figure:
    """Straight lines between the latents of pairs of images."""
    if len(split) < 2:
        raise NotApplicable("it needs two test images or more")
    x, y = next(batches(model, split, 2 * PAIRS))
    means = location(model.q_z(x, y)).cpu()
    start, end = means[: len(means) // 2, None], means[len(means) // 2 : len(means) // 2 * 2, None]
    y = None if y is None else y[: len(start), None]  # the class of the first of a pair, all the way
    way = torch.lerp(start, end, torch.linspace(0, 1, 11)[:, None])
    ways = shown(decoded(model, way, y), colours)
    return interpolations(ways[: few_rows(len(ways), ways.shape)], title=title)


@house
def interpolations(images: ArrayLike, *, title: str) -> Figure:
    """Images [R, S, C, H, W] in a row per pair; the ends stand apart under a bar, columns name the share of the way."""
    array = np.asarray(images)
    rows, steps, *image = array.shape
    factor = enlarge(rows, steps, image)
    parts = array[:, :1], array[:, 1:-1], array[:, -1:]
    tiles = [tile(part.reshape(-1, *part.shape[2:]), part.shape[1], factor=factor) for part in parts]
    picture, size = join(tiles, APART, axis=1), image[2] * factor
    channels = channel_rows(row_centres(rows, image, factor), image, factor)
    figure, axes = mount(picture, title=title, note=NOTE, channels=channels, top=14)
    last = picture.shape[1] - size
    for x in (0, last):
        axes.add_patch(Rectangle((x - 0.5, -4.5), size, 2, color=ACCENT, linewidth=0, clip_on=False))
    between = centres(steps - 2, size, start=size + APART)
    places = [*centres(1, size), *between, *centres(1, size, start=last)]
    label_columns(axes, places, [f"{share:.0%}" for share in np.linspace(0, 1, steps)])
    return figure
