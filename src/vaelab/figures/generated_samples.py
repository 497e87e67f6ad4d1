"""Images drawn from the model, in a grid."""

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.figures.about import About
from vaelab.figures.decoding import SEED
from vaelab.figures.style import house
from vaelab.figures.tiles import enlarge, mount, tile
from vaelab.model import VAE
from vaelab.registry import register
from vaelab.samplers.drawing import images

SHOWN = 64


@register(
    "figure",
    "generated_samples",
    About("Samples", "Images decoded from latents that were drawn from the prior.", "samples", first=True, usual=True),
)
def samples(model: VAE, *, title: str = "Generated samples") -> Figure:
    """Mean images of z ~ p(z), of a conditional model of all classes in turn."""
    return generated_samples(images(model, model.p_z(), SHOWN, SEED), title=title)


@house
def generated_samples(images: ArrayLike, *, title: str = "Generated samples") -> Figure:
    """A grid of images [N, C, H, W] that is about square, filled row by row."""
    n, *_, height, width = shape = np.shape(images)
    per_row = min(n, math.ceil(math.sqrt(n * height / width)))
    factor = enlarge(-(-n // per_row), per_row, shape)
    return mount(tile(images, per_row, factor=factor), title=title)[0]
