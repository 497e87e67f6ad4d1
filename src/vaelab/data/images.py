"""What is done once to uint8 images [N, C, H, W]: cropping, resizing, padding, binarising."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.errors import UsageError

CHUNK = 4096  # images at a time, so that float copies stay small


def crop(images: Tensor, side: int) -> Tensor:
    """The central square."""
    height, width = images.shape[-2:]
    if side > min(height, width):
        raise UsageError(f"crop {side} is larger than images of {height}×{width}; crop at most {min(height, width)}")
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side].contiguous()


def resize(images: Tensor, side: int) -> Tensor:
    """The shorter side becomes `side` pixels, the proportions stay; bilinear, anti-aliased when shrinking."""
    height, width = images.shape[-2:]
    shape = [round(length * side / min(height, width)) for length in (height, width)]
    if shape == [height, width]:
        return images
    out = torch.empty(*images.shape[:2], *shape, dtype=torch.uint8)
    for source, target in zip(images.split(CHUNK), out.split(CHUNK), strict=True):
        # In float32, because the rounding of torch's uint8 kernel depends on the processor.
        small = F.interpolate(source.float(), shape, mode="bilinear", antialias=True)
        target.copy_(small.round().clamp(0, 255))
    return out


def pad(images: Tensor, pixels: int) -> Tensor:
    """That many zero pixels on each side."""
    return F.pad(images, (pixels, pixels, pixels, pixels)) if pixels else images


def threshold(images: Tensor) -> Tensor:
    """255 where x > ½, else 0."""
    return (images > 127).to(torch.uint8) * 255


def bernoulli(images: Tensor, random: np.random.RandomState) -> Tensor:
    """255 with probability x, else 0, pixel by pixel."""
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for source, target in zip(images.split(CHUNK), out.split(CHUNK), strict=True):
        x = source.numpy().astype(np.float32) / 255
        target.copy_(torch.from_numpy(random.binomial(1, x).astype(np.uint8) * 255))
    return out


def stream(seed: int, purpose: str) -> np.random.RandomState:
    """Random numbers for one purpose, of numpy's legacy generator: its streams will never change (NEP 19)."""
    words = np.random.SeedSequence([seed, *purpose.encode()])
    return np.random.RandomState(np.random.MT19937(words))


def to_bytes(x: Tensor) -> Tensor:
    """Images in [0, 1] -> uint8 on the CPU, rounded to the nearest level."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
