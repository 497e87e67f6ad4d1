"""Pixels as they are."""

import torch
from torch import Tensor

from vaelab.data.images import to_floats
from vaelab.registry import register


@register("extractor", "pixels")
class Pixels:
    """The pixels of an image in [0, 1], flat: F = C · H · W."""

    name, hash, resize = "pixels", "", "none"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W], uint8 or in [0, 1] -> float32 [B, F]."""
        return to_floats(images.to(self.device).flatten(1))
