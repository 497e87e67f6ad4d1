"""What one latent dimension after the other does to an image."""

import torch
from matplotlib.figure import Figure

from vaelab.data.source import Split
from vaelab.distributions.latent import location
from vaelab.distributions.normal import kl_per_dimension
from vaelab.distributions.seeds import seeded
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED, decoded
from vaelab.figures.style import signed
from vaelab.figures.tiles import Colours, few_rows, grid, shown
from vaelab.metrics.batches import batches
from vaelab.model import VAE, device_of
from vaelab.registry import register

SHOWN = 10  # dimensions
NOTE = "In standard deviations of all codes, from their mean."


@register(
    "figure", "traversals", About("Traversals", "One image, with one latent dimension moved at a time.", usual=True)
)
@torch.no_grad()
def walks(model: VAE, split: Split, colours: Colours = None, *, title: str = "Latent traversals") -> Figure:
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
    names = [f"z{d + 1}" if kl is None else f"z{d + 1} · {kl.mean(0)[d]:.1f} nats" for d in ranked.tolist()]
    heads = [signed(z, "+.3g") if z else "0" for z in values.double().tolist()]
    moved = shown(decoded(model, z, None if y is None else y[0]), colours)
    count = few_rows(len(moved), moved.shape)
    return grid(moved[:count], names[:count], heads, title=title, note=NOTE)
