"""The plane of a two-dimensional latent, decoded."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import decoded
from vaelab.figures.style import MUTED, SMALL, house, signed, text_width
from vaelab.figures.tiles import Colours, enlarge, join, label, mount, panels, shown, tile
from vaelab.model import VAE
from vaelab.registry import register

SIDE, FEW, EXTENT = 20, 10, 2.5  # images per row, those of one channel, and z of the outermost
APART = 32  # pixels between the planes of two channels
NOTE = (
    f"z1 from −{EXTENT} at the left to {EXTENT} at the right, z2 from −{EXTENT} at the bottom to {EXTENT} at the top."
)


@register("figure", "manifold", About("Decoded plane", "Images decoded over a grid in the two latent dimensions."))
def plane(model: VAE, colours: Colours = None, *, title: str = "Decoded latent plane") -> Figure:
    """Images decoded over a grid in a two-dimensional latent."""
    if model.classes or model.p_z().event_shape[0] != 2:
        raise NotApplicable("it needs 2 latent dimensions, and a model that is not conditional")
    first = shown(decoded(model, torch.zeros(1, 2)), colours)
    side = SIDE if panels(first.shape) == 1 else FEW
    z1, z2 = torch.linspace(-EXTENT, EXTENT, side), torch.linspace(EXTENT, -EXTENT, side)
    grid = torch.stack(torch.meshgrid(z1, z2, indexing="xy"), -1).flatten(0, 1)
    return manifold(shown(decoded(model, grid), colours), title=title)


@house
def manifold(images: ArrayLike, *, title: str) -> Figure:
    """A seamless grid of images [SIDE · SIDE, C, H, W], centred at z1, z2 = −EXTENT … EXTENT in equal steps.

    Of images whose channels are shown apart, [S · S, C, H, W], a grid for each channel.
    """
    if panels(np.shape(images)) > 1:
        return channel_planes(np.asarray(images), title)
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


def channel_planes(images: NDArray, title: str) -> Figure:
    """Seamless grids of images [S · S, C, H, W], one of each channel, side by side."""
    channels, *image = images.shape[1:]
    side = math.isqrt(len(images))
    across = math.ceil(math.sqrt(channels * image[0] / image[1]))
    rows = -(-channels // across)
    factor = enlarge(side * rows, side * across, (1, *image))
    planes = [tile(images[:, [channel]], side, factor=factor, gap=0) for channel in range(channels)]
    picture = join([join(planes[i : i + across], APART, axis=1) for i in range(0, channels, across)], APART, axis=0)
    figure, axes = mount(picture, title=title, note=NOTE, top=12)
    height, width = (size + APART for size in planes[0].shape[:2])
    for channel in range(channels):
        place = channel % across * width - 0.5, channel // across * height - 0.5
        label(axes, f"channel {channel}", place, (0, 4), ha="left", color=MUTED, fontsize=SMALL)
    return figure
