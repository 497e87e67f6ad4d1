"""Images of latents, however these were drawn."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.distributions.latent import condition
from vaelab.distributions.seeds import seeded
from vaelab.errors import NeedsSampler, VaelabError
from vaelab.io.memory import refuse_too_large
from vaelab.io.progress import over
from vaelab.model import VAE, device_of

ROWS = 500  # latents decoded at once


def images(
    model: VAE,
    latents: Distribution,
    n: int,
    seed: int,
    pixels: Literal["mean", "sample"] = "mean",
    labels: Tensor | None = None,
) -> Tensor:
    """All that `draw_batches` draws, [n, C, H, W]; UsageError where it does not fit into memory."""
    drawn: list[Tensor] = []

    def keep(batch: Tensor) -> None:
        if not drawn:
            refuse_many(n, batch.shape[1:])
        drawn.append(batch)

    draw_batches(model, latents, n, seed, keep, pixels, labels)
    return torch.cat(drawn)


@torch.no_grad()
def draw_batches(
    model: VAE,
    latents: Distribution,
    n: int,
    seed: int,
    take: Callable[[Tensor], object],
    pixels: Literal["mean", "sample"] = "mean",
    labels: Tensor | None = None,
) -> None:
    """Give n images x on the CPU to `take`, a batch [B, C, H, W] after another.

    Each is the mean of p(x | z), or a draw from it, clamped to [0, 1] if the model's scale has no x outside; of a
    conditional model of the classes `labels` [n], or of all classes in turn. VaelabError where the model gives pixels
    that are no finite numbers.
    """
    device = device_of(model)
    with seeded(seed, device):
        for first in over(range(0, n, ROWS)):
            rows = torch.arange(first, min(first + ROWS, n))
            if labels is not None:
                y = labels[rows].to(device)
            else:
                y = (rows % model.classes).to(device) if model.classes else None
            batch = model.generate(len(rows), y, latents=latents, pixels=pixels).float().cpu()
            batch = batch.clamp(0, 1) if model.scale.bounded else batch
            if not batch.isfinite().all():
                raise VaelabError("the model draws pixels that are not finite; train it again with a smaller train.lr")
            take(batch)


def refuse_many(n: int, shape: Sequence[int]) -> None:
    """UsageError where n images of a shape, once in parts and once as a whole, do not fit into memory."""
    refuse_too_large(2 * 4 * n * math.prod(shape), f"{n:,} images of {'×'.join(map(str, shape))}", "draw fewer at once")


def refuse_blind(model: VAE, latents: Distribution) -> None:
    """UsageError where the model's prior sees the class, and the latents of a sampler do not."""
    first = torch.zeros(1, dtype=torch.int64, device=device_of(model))
    if model.classes and model.p_z(first).batch_shape and not condition(latents, first).batch_shape:
        raise NeedsSampler("this model's prior sees the class, and that sampler does not", "prior")
