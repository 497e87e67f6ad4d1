"""Images that a prior begins with: distinct ones of the training split, or the centres of its clusters."""

import numpy as np
import torch
from torch import Tensor

from vaelab.data.images import stream, to_bytes
from vaelab.data.source import Split
from vaelab.errors import UsageError

CLUSTERED = 20_000  # images that k-means sees


def distinct(split: Split, labels: Tensor | None, components: int, seed: int) -> Tensor:
    """uint8 images [K, C, H, W], no two alike, in an order drawn by `seed`; image k of class labels[k], where given.

    UsageError where there are not so many.
    """
    return _by_class(split, labels, components, lambda images, count, of: _distinct(images, count, seed, of))


def centres(split: Split, labels: Tensor | None, components: int, seed: int) -> Tensor:
    """uint8 centres of k-means [K, C, H, W] (Lloyd 1982) on 20,000 images at most; of each class apart, if given."""
    return _by_class(split, labels, components, lambda images, count, of: _centres(images, count, seed, of))


def _by_class(split: Split, labels: Tensor | None, components: int, choose) -> Tensor:
    if labels is None:
        return choose(split.images, components, "")
    assert split.labels is not None
    chosen = torch.empty(components, *split.images.shape[1:], dtype=torch.uint8)
    for label in labels.unique().tolist():
        mine, count = split.images[split.labels == label], int((labels == label).sum())
        chosen[labels == label] = choose(mine, count, f" of class {label}")
    return chosen


def _distinct(images: Tensor, count: int, seed: int, of: str) -> Tensor:
    found: dict[bytes, int] = {}
    for i in stream(seed, "pseudo-inputs").permutation(len(images)).tolist():
        found.setdefault(images[i].numpy().tobytes(), i)
        if len(found) == count:
            return images[list(found.values())]
    raise UsageError(
        f"{count} components cannot begin at distinct training images{of}, there are {len(found)} of them; lower "
        "model.prior.components, or give a vamp prior model.prior.init=random"
    )


def _centres(images: Tensor, count: int, seed: int, of: str) -> Tensor:
    from sklearn.cluster import MiniBatchKMeans

    seen = _distinct(images, count, seed, of)  # so that each of the centres can be another
    order = stream(seed, "k-means").permutation(len(images))[:CLUSTERED]
    flat = images[np.sort(order)].flatten(1).numpy().astype(np.float32) / 255
    start = seen.flatten(1).numpy().astype(np.float32) / 255
    flat = np.concatenate([flat, start]) if len(flat) < count else flat
    options = {"init": start, "n_init": 1, "batch_size": max(1024, count), "random_state": seed}
    options["reassignment_ratio"] = 0.0  # small clusters keep their centre; moved to a random image, two would be alike
    fitted = MiniBatchKMeans(count, **options).fit(flat)  # pyright: ignore[reportArgumentType]
    return to_bytes(torch.from_numpy(fitted.cluster_centers_).view(count, *images.shape[1:]))
