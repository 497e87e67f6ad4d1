"""Distributions over the latent, as modules called with the posterior."""

from vaelab.registry import discover

discover(__name__)
