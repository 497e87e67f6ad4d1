"""Latents from the model's own prior: what a VAE's samples are unless said otherwise."""

from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.model import VAE
from vaelab.registry import register


@register("sampler", "prior")
def prior(model: VAE, split: Split) -> Distribution:
    """z ~ p(z)."""
    return model.p_z()
