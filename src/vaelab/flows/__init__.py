"""Invertible maps that shape a distribution of latents."""

from vaelab.registry import discover

discover(__name__)
