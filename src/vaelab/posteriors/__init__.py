"""Amortised posteriors q(z | x), as modules called with images."""

from vaelab.registry import discover

discover(__name__)
