"""What each level of a hierarchical latent holds: the images when it is drawn anew."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.distributions.hierarchy import Hierarchy
from vaelab.distributions.latent import location
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED, decoded
from vaelab.figures.style import DPI, TEXT, house, text_width
from vaelab.figures.tiles import (
    GAP,
    Colours,
    channel_rows,
    enlarge,
    few_rows,
    join,
    label_rows,
    mount,
    row_centres,
    shown,
    tile,
)
from vaelab.metrics.batches import batches
from vaelab.model import VAE, device_of
from vaelab.registry import register

ORIGINALS, ACROSS = 3, 12  # images, and drawings of each and level
LABELS = ("original", "reconstruction")
APART = 24  # pixels between the rows of one original and those of the next
NOTE = "One level is drawn anew; those above it stay, those below follow at their means."


@register(
    "figure", "level_traversals", About("What each level holds", "Images with one level of their latents drawn anew.")
)
@torch.no_grad()
def redrawn(model: VAE, split: Split, colours: Colours = None, *, title: str = "What each level holds") -> Figure:
    """Images with one level of their latents drawn anew from the prior, given those above it."""
    x, y = next(batches(model, split, ORIGINALS))
    q = model.q_z(x, y)
    if not isinstance(q, Hierarchy):
        raise NotApplicable("it needs latents of several levels")
    z, p = location(q), model.p_z(y)
    with seeded(SEED, device_of(model)):
        drawn = torch.stack([_anew(p, q.sizes, z, level, ACROSS) for level in range(len(q.sizes))], 2)  # [N, R, L]
    decodings = decoded(model, drawn, None if y is None else y[:, None]).movedim(0, 2)
    pictures = [shown(images.cpu(), colours) for images in (x, model.reconstruct(x, y), decodings)]
    count = max(1, few_rows(len(x) * len(q.sizes), pictures[0].shape) // len(q.sizes))
    return level_traversals(*(images[:count] for images in pictures), title=title)


def _anew(p: Distribution, sizes: list[int], z: Tensor, level: int, count: int) -> Tensor:
    """Latents [N, R, D] as z [R, D], but for one level drawn from p, and those below at the means that follow."""
    first = sum(sizes[:level])
    z = z.expand(count, *z.shape)
    if not isinstance(p, Hierarchy):
        anew = p.sample(z.shape[: z.dim() - 1 - len(p.batch_shape)])
        return torch.cat([z[..., :first], anew[..., first : first + sizes[level]], z[..., first + sizes[level] :]], -1)
    if level == 0:
        return p.below(p.top.sample(z.shape[: z.dim() - 1 - len(p.batch_shape)]), mean=True)
    above = z[..., :first]
    return p.below(torch.cat([above, p.levels[level - 1](above, p.context).sample()], -1), level + 1, mean=True)


@house
def level_traversals(originals: ArrayLike, reconstructions: ArrayLike, redrawn: ArrayLike, *, title: str) -> Figure:
    """At the left each original above its reconstruction, at the right a row for each level, the top level first.

    Originals and reconstructions [R, C, H, W], and redrawn [R, L, N, C, H, W].
    """
    pairs, drawn = np.stack([originals, reconstructions], 1), np.asarray(redrawn)
    count, levels, across, *image = drawn.shape
    factor = enlarge(count * max(levels, 2), 1 + across, image)
    width = image[2] * factor
    names = [f"level {level}" if level > 1 else "level 1 (top)" for level in range(1, levels + 1)]
    gap = between(names, (1 + across) * (width + GAP))
    bands = [
        join([tile(pair, 1, factor=factor), tile(rows.reshape(-1, *image), across, factor=factor)], gap, axis=1)
        for pair, rows in zip(pairs, drawn, strict=True)
    ]
    starts = [i * (bands[0].shape[0] + APART) for i in range(count)]
    left = [y for start in starts for y in row_centres(2, image, factor, start)], LABELS * count
    rows = [row_centres(levels, image, factor, start) for start in starts]
    channels = [heights for centres in rows for heights in channel_rows(centres, image, factor)]
    figure, axes = mount(join(bands, APART, axis=0), title=title, note=NOTE, rows=left, channels=channels)
    for centres in rows:
        label_rows(axes, centres, names, left=width + gap)
    return figure


def between(names: Sequence[str], images: int) -> int:
    """Pixels that the names of the levels take, before columns of images that take so many.

    `mount` raises the resolution, and with it the size of the text, with the width of wide pictures.
    """
    room = (text_width(names, TEXT) + 22) * DPI / 72
    return round(max(room, room * images / (1500 - room)))
