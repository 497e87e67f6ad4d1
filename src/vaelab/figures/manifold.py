"""The plane of a two-dimensional latent, decoded."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import decoded
from vaelab.figures.style import MUTED, SMALL, house, signed, text_width
from vaelab.figures.tiles import enlarge, mount, tile
from vaelab.model import VAE
from vaelab.registry import register

SIDE, EXTENT = 20, 2.5  # images per row, and z of the outermost


@register("figure", "manifold", About("Decoded plane", "Images decoded over a grid in the two latent dimensions."))
def plane(model: VAE, *, title: str = "Decoded latent plane") -> Figure:
    """Images decoded over a grid in a two-dimensional latent."""
    if model.classes or model.p_z().event_shape[0] != 2:
        raise NotApplicable("it needs 2 latent dimensions, and a model that is not conditional")
    z1, z2 = torch.linspace(-EXTENT, EXTENT, SIDE), torch.linspace(EXTENT, -EXTENT, SIDE)
    grid = torch.stack(torch.meshgrid(z1, z2, indexing="xy"), -1).flatten(0, 1)
    return manifold(decoded(model, grid), title=title)


@house
def manifold(images: ArrayLike, *, title: str) -> Figure:
    """A seamless grid of images [SIDE · SIDE, C, H, W], centred at z1, z2 = −EXTENT … EXTENT in equal steps."""
    picture = tile(images, SIDE, factor=enlarge(SIDE, SIDE, np.shape(images)), gap=0)
    # The outermost centres lie at ±EXTENT, so the picture reaches half an image further.
    edge, ticks = EXTENT * SIDE / (SIDE - 1), np.linspace(-EXTENT, EXTENT, 5)
    names = [signed(z) for z in ticks]
    left = text_width(names, SMALL) + 6
    figure, axes = mount(picture, title=title, left=left + 18, bottom=30, extent=(-edge, edge, -edge, edge))
    axes.set_axis_on()
    axes.spines[:].set_visible(False)
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.tick_params(length=3, color=MUTED)
    axes.set_xlabel("z1", labelpad=2)
    axes.set_ylabel("z2", labelpad=4, rotation=0, ha="right", va="center")
    return figure
