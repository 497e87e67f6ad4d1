"""The plane of a two-dimensional latent, decoded."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import decoded
from vaelab.figures.style import DPI, MUTED, SMALL, house, signed, text_width
from vaelab.figures.tiles import as_images, enlarge, mount, tile
from vaelab.model import VAE
from vaelab.registry import Positive, Size, register

SIDE, EXTENT = 20, 2.5  # images per row, and z of the outermost


@register("figure", "manifold", About("Decoded plane", "Images decoded over a grid in the two latent dimensions."))
def plane(model: VAE, *, title: str = "Decoded latent plane") -> Figure:
    """Images decoded over a grid in a two-dimensional latent."""
    if model.classes or model.p_z().event_shape[0] != 2:
        raise NotApplicable("it needs 2 latent dimensions, and a model that is not conditional")
    z1, z2 = torch.linspace(-EXTENT, EXTENT, SIDE), torch.linspace(EXTENT, -EXTENT, SIDE)
    grid = torch.stack(torch.meshgrid(z1, z2, indexing="xy"), -1).flatten(0, 1)
    return manifold(decoded(model, grid), SIDE, extent=EXTENT, title=title)


@house
def manifold(images: ArrayLike, side: Size, *, extent: Positive = 2.0, title: str = "Decoded latent plane") -> Figure:
    """A seamless grid of images [side · side, C, H, W], centred at z1, z2 = −extent … extent in equal steps."""
    array = as_images(images)
    factor = enlarge(side, side, array.shape)
    # The outermost centres lie at ±extent, so the picture reaches half an image further.
    edge = extent * (side / (side - 1) if side > 1 else 1)
    picture = tile(array, side, factor=factor, gap=0)
    ticks = spaced(extent, side, picture.shape[1])
    names = [signed(z) for z in ticks]
    left = text_width(names, SMALL) + 6
    box = (-edge, edge, -edge, edge)
    figure, axes = mount(picture, title=title, left=left + 18, bottom=30, extent=box)
    axes.set_axis_on()
    axes.spines[:].set_visible(False)
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.tick_params(length=3, color=MUTED)
    axes.set_xlabel("z1", labelpad=2)
    axes.set_ylabel("z2", labelpad=4, rotation=0, ha="right", va="center")
    return figure


def spaced(extent: float, side: int, width: int) -> np.ndarray:
    """Five values of z, fewer where the numbers would touch."""
    room = 6 * SMALL * DPI / 72
    count = 1 if side == 1 else 5 if width >= 5 * room else 3 if width >= 2 * room else 2
    return np.linspace(-extent, extent, count) if count > 1 else np.zeros(1)
