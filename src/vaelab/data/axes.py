"""Arrays that hold images, brought to the order [N, C, H, W] and a type that a set has."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from vaelab.data.stored import Images
from vaelab.errors import UsageError

Array = np.ndarray | Tensor
USUAL = {3: "NHW", 4: "NCHW"}
CHANNELS = 16  # at most
SLACK = 1e-4  # of a level that rounding to float32 leaves, and no measurement hits by chance


def order_of(shape: Iterable[int], axes: str | None, what: str) -> tuple[int, ...]:
    """The permutation that brings an array with these `axes` to N, C, H, W, without C where it has none.

    UsageError where they are none, or do not fit the shape.
    """
    shape = tuple(shape)
    found = axes or USUAL.get(len(shape), "")
    said = f"{what} is {list(shape)}"
    if not found:
        raise UsageError(f"{said}, and a set is [N, H, W] or [N, C, H, W]", "give images of that shape")
    if sorted(found) not in (sorted("NHW"), sorted("NCHW")):
        raise UsageError(f"axes {found!r} is no order of images", "give NHW, NCHW, NHWC or another order of these")
    if len(found) != len(shape):
        raise UsageError(f"{said}, which is not {', '.join(found)}", "give axes with a letter for each dimension")
    return tuple(found.index(letter) for letter in "NCHW" if letter in found)


def channels_last(shape: Sequence[int]) -> bool:
    """Whether a shape of four is more likely [N, H, W, C] than [N, C, H, W]."""
    _, channels, _, last = shape
    return (last in (1, 3) and channels not in (1, 3)) or last <= CHANNELS < channels


def as_images(given: Array | Images, axes: str | None, what: str) -> Tensor | Images:
    """Images [N, C, H, W] of an array with these `axes`, by default N, H, W or N, C, H, W; real numbers as float32."""
    if isinstance(given, Images):
        return given
    try:
        x = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what} is no array: {error}", "give tensors or numpy arrays") from error
    if axes is None and x.ndim == 4 and channels_last(x.shape):
        raise UsageError(f"{what} is {list(x.shape)}, which looks like [N, H, W, C]", "give axes: NHWC, or NCHW")
    x = x.permute(order_of(x.shape, axes, what))
    x = x[:, None] if x.ndim == 3 else x
    return x.float() if x.is_floating_point() else x


def as_bytes(images: list[Tensor | Images]) -> list[Tensor | Images]:
    """Real numbers, if all are v / 255, as the 8-bit levels v that they were; anything else as it is."""
    real = [x for x in images if isinstance(x, Tensor) and x.is_floating_point()]
    if not all(map(_are_levels, real)):
        return images
    return [(x * 255).round().to(torch.uint8) if isinstance(x, Tensor) and x.is_floating_point() else x for x in images]


def _are_levels(x: Tensor) -> bool:
    return all(
        bool(((part >= 0) & (part <= 1) & (((part * 255).frac() - 0.5).abs() >= 0.5 - SLACK)).all())
        for part in x.split(1000)
    )
