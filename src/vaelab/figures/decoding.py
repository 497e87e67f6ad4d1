"""Images of latents, as several figures show them."""

import torch
from torch import Tensor

from vaelab.model import VAE, device_of

SEED = 0  # every drawing of a model shows the same noise


@torch.no_grad()
def decoded(model: VAE, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Mean images of latents [..., D], and of classes that broadcast to [...] if the model sees them."""
    device, rows = device_of(model), z.flatten(0, -2).split(1000)
    classes = [None] * len(rows) if y is None else y.expand(z.shape[:-1]).flatten().split(1000)
    parts = [
        model.p_x(part.to(device), None if c is None else c.to(device)).mean.cpu()
        for part, c in zip(rows, classes, strict=True)
    ]
    return torch.cat(parts).unflatten(0, z.shape[:-1])
