"""What an extractor is."""

from typing import Protocol

from torch import Tensor


class Extractor(Protocol):
    """Images to features; its name, hash and resize rule stand beside every number that rests on it."""

    name: str
    hash: str  # of its weights, 12 hex digits of their sha256; empty where it has none
    resize: str  # in words, what is done to images before the network sees them

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 images [B, C, H, W] on any device -> float32 features [B, F] on the extractor's device."""
        ...
