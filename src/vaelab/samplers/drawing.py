"""Images of latents, however these were drawn."""

from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.distributions import draws_of, given
from vaelab.errors import UsageError
from vaelab.model import VAE, device_of
from vaelab.process import seeded

ROWS = 500  # latents decoded at once


@torch.no_grad()
def images(
    model: VAE,
    latents: Distribution,
    n: int,
    seed: int,
    pixels: Literal["mean", "sample"] = "mean",
    labels: Tensor | None = None,
) -> Tensor:
    """Images [n, C, H, W] in [0, 1] on the CPU: the mean of p(x | z), or a draw from it clamped to [0, 1].

    Of a conditional model of the classes `labels` [n], or of all classes in turn.
    """
    if labels is None and model.classes:
        labels = torch.arange(n) % model.classes
    device = device_of(model)
    labels = labels if labels is None else labels.to(device)
    drawn = []
    with seeded(seed, device):
        for rows in torch.arange(n).split(ROWS):
            y = None if labels is None else labels[rows]
            p = model.p_x(draws_of(given(latents, y), len(rows)), y)
            drawn.append((p.mean if pixels == "mean" else p.sample()).float().clamp(0, 1).cpu())
    return torch.cat(drawn)


def refuse_blind(model: VAE, latents: Distribution) -> None:
    """UsageError where the model's prior sees the class, and the latents of a sampler do not."""
    first = torch.zeros(1, dtype=torch.int64, device=device_of(model))
    if model.classes and model.p_z(first).batch_shape and not hasattr(latents, "given"):
        raise UsageError("this model's prior sees the class, and that sampler does not; take --sampler prior")
