"""Arrays that hold images, brought to the order [N, C, H, W] and a type that a set has."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.split import Split
from vaelab.data.stored import Images
from vaelab.errors import UsageError

Array = np.ndarray | Tensor
USUAL = {3: "NHW", 4: "NCHW"}
KNOWN = [["H", "N", "W"], ["C", "H", "N", "W"]]  # sorted
CHANNELS = 16  # at most
LONGER = 8  # times as long as the others as an axis of square images is not
EXACT = 2**24  # the largest whole number below which float32 has all
LONG = (torch.int32, torch.uint32, torch.int64, torch.uint64)
SLACK = 1e-4  # of a level that rounding to float32 leaves, and no measurement hits by chance


def order_of(shape: Sequence[int], axes: str | None, what: str, option: str = "axes") -> tuple[int, ...]:
    """The permutation that brings an array with these `axes` to N, C, H, W, without C where it has none.

    UsageError, which tells how to set the `option`, where they are none, do not fit the shape, or are likely others.
    """
    found, said = axes or USUAL.get(len(shape), ""), f"{what} is {list(shape)}"
    if not found:
        raise UsageError(f"{said}, and a set is [N, H, W] or [N, C, H, W]", "give images of that shape")
    if sorted(found) not in KNOWN:
        raise UsageError(f"{option} {found!r} is no order of images", "give NHW, NCHW, NHWC or another order of these")
    if len(found) != len(shape):
        order = ", ".join(found)
        raise UsageError(f"{said}, which is not [{order}]", f"give {option} with a letter for each dimension")
    if axes is None and (likely := _likely(shape)):
        order = ", ".join(likely)
        raise UsageError(f"{said}, which looks like [{order}]", f"give {option}: {likely}, or {found}")
    return tuple(found.index(letter) for letter in "NCHW" if letter in found)


def channels_last(shape: Sequence[int]) -> bool:
    """Whether a shape of four is more likely [N, H, W, C] than [N, C, H, W]."""
    _, channels, _, last = shape
    return (last in (1, 3) and channels not in (1, 3)) or last <= CHANNELS < channels


def _likely(shape: Sequence[int]) -> str:
    """Other axes than the usual ones that a shape is more likely to have, if there are such."""
    if len(shape) == 4 and (channels_last(shape) or (shape[3] <= CHANNELS and shape[1] == shape[2] > max(3, shape[3]))):
        return "NHWC"  # also of squares of few pixels
    square = shape[0] == shape[1] and LONGER * shape[0] < shape[-1]
    return {3: "HWN", 4: "HWCN"}[len(shape)] if square else ""


def as_images(given: Array | Images, axes: str | None, what: str) -> Tensor | Images:
    """Images [N, C, H, W] of an array with these `axes`, by default N, H, W or N, C, H, W; real numbers as float32."""
    if isinstance(given, Images):
        return given
    try:
        x = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what} is no array: {error}", "give tensors or numpy arrays") from error
    x = x.permute(order_of(x.shape, axes, what))
    x = x[:, None] if x.ndim == 3 else x
    return x.float() if x.is_floating_point() else x


def as_values(x: Tensor) -> Tensor:
    """Numbers of any type as uint8, uint16 or float32: true as 255, whole numbers up to 2^24 as what they are."""
    if x.dtype in (torch.uint8, torch.uint16):
        return x
    if x.dtype == torch.bool:
        return x.to(torch.uint8) * 255
    if x.dtype in LONG and len(x) and (most := x.double().abs().max().item()) > EXACT:
        raise UsageError(f"whole numbers up to {most:,.0f} are no float32", f"scale the images to at most {EXACT:,}")
    return x.float()


def as_bytes(images: list[Tensor | Images]) -> list[Tensor | Images]:
    """8-bit levels of images in memory that are real numbers v / 255, all of them, or 0 and 1; others as they are."""
    known = [x for x in images if isinstance(x, Tensor)]
    if len(known) < len(images):
        return images
    if all(x.dtype == torch.uint8 and x.numel() for x in known) and max(x.max() for x in known) == 1:
        return [x * 255 for x in known]
    if not all(not x.is_floating_point() or _are_levels(x) for x in known):
        return images
    return [(x * 255).round().to(torch.uint8) if x.is_floating_point() else x for x in known]


def _are_levels(x: Tensor) -> bool:
    return all(
        bool(((part >= 0) & (part <= 1) & (((part * 255).frac() - 0.5).abs() >= 0.5 - SLACK)).all())
        for part in x.split(1000)
    )


def splits_of(
    given: Mapping[str, Any], labels: Array | Mapping[str, Array] | None, axes: str | None, exact: bool
) -> dict[str, Split]:
    """The splits that are given, as arrays or as pairs of images and labels; `exact`: what was 8-bit is so again.

    `labels` are those of the training images, or of each split by its name.
    """
    pairs = {name: found if isinstance(found, tuple) else (found, None) for name, found in given.items()}
    pairs = {name: pair for name, pair in pairs.items() if pair[0] is not None}
    if odd := [name for name, pair in pairs.items() if len(pair) != 2]:
        raise UsageError(f"the {odd[0]} split is {len(pairs[odd[0]])} things", "give images, or (images, labels)")
    known = labels if isinstance(labels, Mapping) else {} if labels is None else {"train": labels}
    images = [as_images(x, axes, f"the array of {name} images") for name, (x, _) in pairs.items()]
    images = as_bytes(images) if exact else images
    found = [_as_labels(name, known.get(name, y)) for name, (_, y) in pairs.items()]
    return {name: Split(x, y) for name, x, y in zip(pairs, images, found, strict=True)}


def _as_labels(name: str, labels: Any) -> Tensor | None:
    if labels is None:
        return None
    try:
        y = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"the {name} labels are no array: {error}", "give tensors or numpy arrays") from error
    return y if y.is_floating_point() else y.long()
