"""Where latents of new images come from: the prior, or a density fitted to a trained model's latents."""

from vaelab.registry import discover

discover(__name__)
