"""Images in pieces that fit in memory, on the model's device."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vaelab.data.prefetch import in_turn
from vaelab.data.source import Split
from vaelab.io.progress import over
from vaelab.model import VAE, device_of

VALUES = 2**28  # of images that are on the device at once


def spread(split: Split, images: int | None) -> Split:
    """So many images, evenly spaced, since some sets are sorted by class; all, if None or if there are no more."""
    if images is None or images >= len(split):
        return split
    return split[torch.arange(images) * len(split) // images]


def batches(model: VAE, split: Split, rows: int = 1000) -> Iterator[tuple[Tensor, Tensor | None]]:
    """float32 images x, so many at once or VALUES, and their classes if the model sees them, on the model's device."""
    device, rows = device_of(model), max(1, min(rows, VALUES // split.images.shape[1:].numel()))
    for part in in_turn(split, (slice(start, start + rows) for start in over(range(0, len(split), rows)))):
        yield part.as_input(device, model.classes > 0)
