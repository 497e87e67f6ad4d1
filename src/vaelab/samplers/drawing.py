"""Images of latents, however these were drawn."""

from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.model import VAE

ROWS = 500  # latents decoded at once


@torch.no_grad()
def images(model: VAE, latents: Distribution, n: int, seed: int, pixels: Literal["mean", "sample"] = "mean") -> Tensor:
    """Images [n, C, H, W] in [0, 1] on the CPU: the mean of p(x | z), or a draw from it clamped to [0, 1]."""
    torch.manual_seed(seed)
    drawn = []
    for count in torch.arange(n).split(ROWS):
        p = model.p_x(latents.sample(torch.Size((len(count),))))
        drawn.append((p.mean if pixels == "mean" else p.sample()).float().clamp(0, 1).cpu())
    return torch.cat(drawn)
