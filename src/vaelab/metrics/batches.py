"""Images in pieces that fit in memory, on the model's device."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vaelab.data.source import Split
from vaelab.model import VAE


def device_of(model: nn.Module) -> torch.device:
    """The device that the model's weights are on."""
    return next(model.parameters()).device


def batches(model: VAE, split: Split, rows: int = 1000) -> Iterator[tuple[Tensor, Tensor | None]]:
    """float32 images in [0, 1], and their classes if the model sees them, on the model's device."""
    device, rows = device_of(model), max(1, rows)
    for start in range(0, len(split), rows):
        piece = split[start : start + rows]
        y = piece.labels.to(device) if model.classes and piece.labels is not None else None
        yield piece.images.to(device).float() / 255, y
