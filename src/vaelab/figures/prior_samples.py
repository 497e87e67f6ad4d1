"""Samples of a learned prior, beside those of N(0, I)."""

import torch
from matplotlib.figure import Figure
from torch.distributions import Independent

from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.columns import columns
from vaelab.figures.decoding import SEED
from vaelab.figures.tiles import Colours, few_images, shown
from vaelab.model import VAE, device_of
from vaelab.registry import register
from vaelab.samplers.drawing import images

SHOWN = 64  # samples of each


@register(
    "figure",
    "prior_samples",
    About("Learned prior beside N(0, I)", "Samples of the learned prior, and of N(0, I) for comparison."),
)
@torch.no_grad()
def prior_samples(model: VAE, colours: Colours = None, *, title: str = "Samples of the prior") -> Figure:
    """Mean images of the model's prior, beside those of N(0, I), which its decoder was not trained for."""
    p = model.p_z()
    if isinstance(p, Independent):
        raise NotApplicable("it needs a prior that is learned")
    z = torch.zeros(p.event_shape, device=device_of(model))
    latents = {"z ~ p(z), as learned": p, "z ~ N(0, I)": diagonal_normal(z, z)}
    drawn = {name: shown(images(model, p, SHOWN, SEED), colours) for name, p in latents.items()}
    return columns({name: x[: few_images(SHOWN, x.shape)] for name, x in drawn.items()}, title=title)
