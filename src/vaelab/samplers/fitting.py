"""Fits to the aggregated posterior of a split, E_x q(z | x), which is known by its draws."""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution, TransformedDistribution

from vaelab.data.source import Split
from vaelab.errors import UsageError
from vaelab.model import VAE, device_of


def encoded(model: VAE, split: Split) -> Distribution:
    """q(z | x) of a few images."""
    return model.q_z(*split.as_input(device_of(model), model.classes > 0))


@torch.no_grad()
def draws(model: VAE, split: Split, batch_size: int, steps: int) -> Iterator[Tensor]:
    """`steps` batches [B, D] of independent draws z ~ q(z | x), each of an image picked at random.

    Draws rather than the means that Ghosh et al. (2020) fit: the decoder was trained on draws.
    """
    for _ in range(steps):
        picked = torch.randint(len(split), (batch_size,))
        yield encoded(model, split[picked]).sample()


def location_and_scale(model: VAE, split: Split, count: int = 5000) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [D] of the aggregated posterior, so that fits see latents of order one."""
    z = torch.cat(list(draws(model, split, 1000, -(-count // 1000))))
    return z.mean(0), z.std(0).clamp(min=1e-6)


def rescaled(standard: Distribution, location: Tensor, scale: Tensor) -> TransformedDistribution:
    """The density of location + scale · v with v from `standard`."""
    affine = AffineTransform(location, scale, event_dim=1)
    return TransformedDistribution(standard, [affine], validate_args=False)


@torch.enable_grad()
def fit(module: nn.Module, loss: Callable[[Tensor], Tensor], batches: Iterable[Tensor], steps: int, lr: float) -> None:
    """Adam with a learning rate that falls to zero as a cosine; leaves the module frozen and in eval mode.

    Raises UsageError if the loss is not finite at the end.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    last = math.nan
    for z in batches:
        optimizer.zero_grad()
        value = loss(z)
        value.backward()
        optimizer.step()
        schedule.step()
        last = value.detach()
    if not math.isfinite(last):
        raise UsageError(f"the fit to the latents diverged at lr {lr:g}; try a tenth of it")
    module.eval().requires_grad_(False)
