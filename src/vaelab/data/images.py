"""Operations on images [N, C, H, W]: cropping, resizing, padding, binarising, conversion from and to floats."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.data.stored import Images, uniform
from vaelab.errors import UsageError
from vaelab.io.formatting import counted
from vaelab.io.memory import refuse_too_large

CHUNK = 2**22  # values at a time, so that float copies stay small


def check_fits(shape: tuple[int, ...], fix: str, more: int = 0) -> None:
    """UsageError, with its `fix`, where images of a shape [N, C, H, W], and `more` bytes, do not fit."""
    what = f"{counted(shape[0], 'image')} of {shape[2]}×{shape[3]} pixels"
    refuse_too_large(math.prod(shape) + more, what, fix)


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
    shape = list(side_lengths(height, width, None, side, 0))
    if shape == [height, width]:
        return images
    check_fits((*images.shape[:2], *shape), "lower data.resize")
    out = torch.empty(*images.shape[:2], *shape, dtype=images.dtype)
    for source, target in _chunks(images, out):
        # In float32, because the rounding of torch's uint8 kernel depends on the processor.
        small = F.interpolate(source.float(), shape, mode="bilinear", antialias=True)
        target.copy_(small if out.is_floating_point() else small.round().clamp(0, torch.iinfo(out.dtype).max))
    return out


def side_lengths(height: int, width: int, side: int | None, shorter: int | None, pixels: int) -> tuple[int, int]:
    """Height and width of images that are cropped to a `side`, resized to a `shorter` side, and padded."""
    height, width = (side, side) if side else (height, width)
    shorter = shorter or min(height, width)
    height, width = (round(length * shorter / min(height, width)) for length in (height, width))
    return height + 2 * pixels, width + 2 * pixels


def pad(images: Tensor, pixels: int) -> Tensor:
    """That many zero pixels on each side."""
    if not pixels:
        return images
    height, width = images.shape[-2:]
    check_fits((*images.shape[:2], height + 2 * pixels, width + 2 * pixels), "lower data.pad")
    return F.pad(images, (pixels, pixels, pixels, pixels))


def threshold(images: Tensor | Images) -> Tensor | Images:
    """255 where x > ½, else 0."""
    if isinstance(images, Images):
        return images.map(lambda batch, rows: _white(to_floats(batch) > 0.5), dtype=torch.uint8)
    return _white(to_floats(images) > 0.5) if images.is_floating_point() else _white(images > 127)


def bernoulli(images: Tensor | Images, random: np.random.RandomState) -> Tensor | Images:
    """255 with probability x, else 0, pixel by pixel; of images that are read later, by the number of each."""
    if isinstance(images, Images):
        key, values = int(random.randint(2**62)), images.shape[1:].numel()

        def draw(batch: Tensor, rows: Tensor) -> Tensor:
            return _white(uniform(rows, values, key).view_as(batch) < to_floats(batch))

        return images.map(draw, dtype=torch.uint8)
    out = torch.empty_like(images, dtype=torch.uint8, memory_format=torch.contiguous_format)
    for source, target in _chunks(images, out):
        x = to_floats(source).numpy()
        target.copy_(torch.from_numpy(random.binomial(1, x).astype(np.uint8) * 255))
    return out


def _white(pixels: Tensor) -> Tensor:
    return pixels.to(torch.uint8) * 255


def stream(seed: int, purpose: str) -> np.random.RandomState:
    """Random numbers for one purpose, of numpy's legacy generator: its streams will never change (NEP 19)."""
    words = np.random.SeedSequence([seed, *purpose.encode()])
    return np.random.RandomState(np.random.MT19937(words))


def to_floats(x: Tensor) -> Tensor:
    """uint8 images -> float32 in [0, 1]; floats are there already."""
    return x if x.is_floating_point() else x.float() / 255


def to_bytes(x: Tensor) -> Tensor:
    """Images in [0, 1] -> uint8 on the CPU, rounded to the nearest level."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _chunks(images: Tensor, out: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some images at a time, and the place for what becomes of them."""
    count = max(1, CHUNK // max(images[0].numel(), out[0].numel()))
    return zip(images.split(count), out.split(count), strict=True)
