"""Images in pieces that fit in memory, on the model's device."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def device_of(model: nn.Module) -> torch.device:
    """The device that the model's weights are on."""
    return next(model.parameters()).device


def batches(model: nn.Module, images: Tensor, rows: int = 1000) -> Iterator[Tensor]:
    """uint8 images [N, C, H, W] -> float32 batches in [0, 1] on the model's device."""
    for part in images.split(max(1, rows)):
        yield part.to(device_of(model)).float() / 255
