"""Gradient descent on batches of latents."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from vaelab.errors import UsageError


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
