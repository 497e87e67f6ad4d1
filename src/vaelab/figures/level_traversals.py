"""What each level of a hierarchical latent holds: the images when it is drawn anew."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.distributions.hierarchy import Hierarchy
from vaelab.distributions.latent import location
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED, decoded
from vaelab.figures.style import DPI, MUTED, TEXT, house, text_width
from vaelab.figures.tiles import GAP, as_images, centres, enlarge, join, label_rows, mount, thinned, tile
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
def redrawn(model: VAE, split: Split, *, title: str = "What each level holds") -> Figure:
    """Images with one level of their latents drawn anew from the prior, given those above it."""
    x, y = next(batches(model, split, ORIGINALS))
    q = model.q_z(x, y)
    if not isinstance(q, Hierarchy):
        raise NotApplicable("it needs latents of several levels")
    z, p = location(q), model.p_z(y)
    with seeded(SEED, device_of(model)):
        drawn = torch.stack([_anew(p, q.sizes, z, level, ACROSS) for level in range(len(q.sizes))], 2)  # [N, R, L]
    decodings = decoded(model, drawn, None if y is None else y[:, None]).movedim(0, 2)
    return level_traversals(x.cpu(), model.reconstruct(x, y).cpu(), decodings, title=title)


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
def level_traversals(
    originals: ArrayLike, reconstructions: ArrayLike, redrawn: ArrayLike, *, title: str = "What each level holds"
) -> Figure:
    """At the left each original above its reconstruction, at the right a row for each level, the top level first.

    Originals and reconstructions [R, C, H, W], and redrawn [R, L, N, C, H, W].
    """
    pairs = [as_images(originals, "originals"), as_images(reconstructions, "reconstructions")]
    images = np.asarray(redrawn)
    shape = images.shape
    count, levels, across, _, height, width = shape
    drawn = as_images(images.reshape(count, levels * across, *shape[3:]), "redrawn", 5)
    factor = enlarge(count * max(levels, 2), 1 + across, shape)
    names = [f"level {level}" if level > 1 else "level 1 (top)" for level in range(1, levels + 1)]
    gap = between(names, (1 + across) * (width * factor + GAP))
    lefts = [tile(np.stack(pair), 1, factor=factor) for pair in zip(*pairs, strict=True)]
    rights = [tile(rows, across, factor=factor) for rows in drawn]
    bands = [beside(left, right, gap) for left, right in zip(lefts, rights, strict=True)]
    figure, axes = mount(join(bands, APART, axis=0), title=title, note=NOTE, left=text_width(LABELS, TEXT) + 5)
    starts = [i * (bands[0].shape[0] + APART) for i in range(count)]
    label_rows(axes, [y for s in starts for y in centres(2, height * factor, start=s)], LABELS * count)
    for start in starts:
        label_levels(axes, width * factor + gap, centres(levels, height * factor, start=start), names)
    return figure


def between(names: Sequence[str], images: int) -> int:
    """Pixels that the names of the levels take, before columns of images that take so many.

    `mount` raises the resolution, and with it the size of the text, with the width of wide pictures.
    """
    room = (text_width(names, TEXT) + 22) * DPI / 72
    return round(max(room, room * images / (1500 - room)))


def beside(left: NDArray[np.uint8], right: NDArray[np.uint8], gap: int) -> NDArray[np.uint8]:
    """Two pictures side by side, white below the lower one."""
    height = max(len(left), len(right))
    return join([np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=255) for p in (left, right)], gap, 1)


def label_levels(axes: Axes, left: float, heights: Sequence[float], names: Sequence[str]) -> None:
    """Names to the left of the rows that begin at `left`; thinned where they would touch."""
    for i in thinned(heights, TEXT * 1.3, axes):
        place = (left - 0.5, heights[i])
        axes.annotate(names[i], place, (-5, 0), textcoords="offset points", ha="right", va="center", color=MUTED)
