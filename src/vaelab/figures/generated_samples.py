"""Images drawn from the model, in a grid."""

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.figures.about import About
from vaelab.figures.decoding import SEED
from vaelab.figures.style import house
from vaelab.figures.tiles import (
    Colours,
    cell,
    channel_rows,
    enlarge,
    few_images,
    mount,
    panels,
    row_centres,
    shown,
    tile,
)
from vaelab.model import VAE
from vaelab.registry import register
from vaelab.samplers.drawing import images

SHOWN = 64


@register(
    "figure",
    "generated_samples",
    About("Samples", "Images decoded from latents that were drawn from the prior.", "samples", first=True, usual=True),
)
def samples(model: VAE, colours: Colours = None, *, title: str = "Generated samples") -> Figure:
    """Mean images of z ~ p(z), of a conditional model of all classes in turn."""
    drawn = shown(images(model, model.p_z(), SHOWN, SEED), colours)
    return generated_samples(drawn[: few_images(SHOWN, drawn.shape)], title=title)


@house
def generated_samples(images: ArrayLike, *, title: str = "Generated samples") -> Figure:
    """A grid of images [N, C, H, W] that is about square, filled row by row."""
    n, *image = np.shape(images)
    height, width = cell(image, 1)
    per_row = min(n, math.ceil(math.sqrt(n * height / width)), few_images(n, image))
    rows = -(-n // per_row)
    per_row = per_row if panels(image) == 1 else -(-n // rows)  # no row of few below others, which would be tall
    factor = enlarge(rows, per_row, image)
    channels = channel_rows(row_centres(rows, image, factor), image, factor)
    return mount(tile(images, per_row, factor=factor), title=title, channels=channels)[0]
