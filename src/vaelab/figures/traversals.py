"""What one latent dimension after the other does to an image."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.data.source import Split
from vaelab.distributions.latent import location
from vaelab.distributions.normal import kl_per_dimension
from vaelab.distributions.seeds import seeded
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED, decoded
from vaelab.figures.style import TEXT, house, signed
from vaelab.figures.tiles import (
    as_images,
    centres,
    enlarge,
    label_columns,
    label_rows,
    mount,
    text_width,
    tile,
)
from vaelab.metrics.batches import batches
from vaelab.model import VAE, device_of
from vaelab.registry import register

SHOWN = 10  # dimensions
NOTE = "In standard deviations of all codes, from their mean."


@register(
    "figure", "traversals", About("Traversals", "One image, with one latent dimension moved at a time.", usual=True)
)
@torch.no_grad()
def walks(model: VAE, split: Split, *, title: str = "Latent traversals") -> Figure:
    """One image's latent, one dimension moved at a time: those of the largest KL, or else spread, in units of it."""
    x, y = next(batches(model, split))
    q = model.q_z(x, y)
    with seeded(SEED, device_of(model)):  # whose spread is the unit: a learned prior leaves the scale of latents free
        codes = q.sample(torch.Size([8])).flatten(0, 1).cpu()
    means, kl = location(q), kl_per_dimension(q, model.p_z(y))
    ranked = (means.var(0) if kl is None else kl.mean(0)).argsort(descending=True)[:SHOWN]
    values = torch.arange(-5, 6) * 0.6  # −3 … 3, and exactly 0 in the middle
    z = means[0].cpu().repeat(len(ranked), len(values), 1)
    for row, dimension in enumerate(ranked.tolist()):
        z[row, :, dimension] = codes[:, dimension].mean() + values * codes[:, dimension].std()
    nats = None if kl is None else kl.mean(0)[ranked].cpu()
    shown, names = decoded(model, z, None if y is None else y[0]), (ranked + 1).tolist()
    return traversals(shown, values, names, nats, title=title, note=NOTE)


@house
def traversals(
    images: ArrayLike,
    values: ArrayLike,
    dimensions: Sequence[int],
    kl: ArrayLike | None = None,
    *,
    title: str = "Latent traversals",
    note: str = "",
) -> Figure:
    """One row per latent dimension, named as `dimensions` with its `kl`, one column per value of it; the others stay.

    Images [R, S, C, H, W], the S values of z, and R dimensions.
    """
    array, steps = as_images(images, dimensions=5), np.asarray(values, np.float64)
    rows, columns, _, height, width = array.shape
    nats = None if kl is None else np.asarray(kl, np.float64)
    factor = enlarge(rows, columns, array.shape)
    names = [f"z{d}" if nats is None else f"z{d} · {nats[i]:.1f} nats" for i, d in enumerate(dimensions)]
    picture = tile(array.reshape(-1, *array.shape[2:]), columns, factor=factor)
    figure, axes = mount(picture, title=title, note=note, left=text_width(names, TEXT) + 5, top=10)
    label_rows(axes, centres(rows, height * factor), names)
    label_columns(axes, centres(columns, width * factor), [signed(z, "+.3g") if z else "0" for z in steps])
    return figure
