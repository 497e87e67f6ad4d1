"""Components of a mixture prior: how many, of which classes, of which images, and of what an encoder says of these."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.batchnorm import _BatchNorm

from vaelab.data.images import stream, to_bytes, to_floats
from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.distributions.hierarchy import Hierarchy
from vaelab.distributions.normal import normal_of
from vaelab.distributions.pushforward import Pushforward
from vaelab.errors import UsageError

Components = Annotated[int, Field(gt=0, le=1_000_000)]  # of a mixture; more would fit into no memory
CLUSTERED, VALUES = 20_000, 2**28  # images that k-means sees, and values of these


def dealt_out(components: int, classes: int) -> torch.Tensor:
    """A class for each component [K], as evenly as can be; ValueError if there are more classes."""
    if components < classes:
        raise ValueError(f"{components} components are too few for {classes} classes; set components={classes} or more")
    return torch.arange(components) % classes


def distinct(split: Split, labels: Tensor | None, components: int, seed: int) -> Tensor:
    """Images [K, C, H, W] of a split, no two alike, in an order drawn by `seed`; image k of class labels[k], if given.

    UsageError where there are not so many.
    """
    return _by_class(split, labels, components, lambda images, count, of: _distinct(images, count, seed, of))


def centres(split: Split, labels: Tensor | None, components: int, seed: int) -> Tensor:
    """Centres of k-means [K, C, H, W] (Lloyd 1982), of the images' type; of each class apart, if given.

    They are of 20,000 images at most, and of fewer where these are large: of VALUES in all.
    """
    return _by_class(split, labels, components, lambda images, count, of: _centres(images, count, seed, of))


def _by_class(split: Split, labels: Tensor | None, components: int, choose) -> Tensor:
    if labels is None:
        return choose(split.images, components, "")
    assert split.labels is not None
    chosen = torch.empty(components, *split.images.shape[1:], dtype=split.images.dtype)
    for label in labels.unique().tolist():
        mine, count = split[(split.labels == label).nonzero()[:, 0]].images, int((labels == label).sum())
        chosen[labels == label] = choose(mine, count, f" of class {label}")
    return chosen


def _distinct(images: Tensor | Images, count: int, seed: int, of: str) -> Tensor:
    found: dict[bytes, int] = {}
    for i in stream(seed, "pseudo-inputs").permutation(len(images)).tolist():
        found.setdefault(images[i].numpy().tobytes(), i)
        if len(found) == count:
            return images[torch.tensor(list(found.values()))]
    raise UsageError(
        f"{count} components cannot begin at distinct training images{of}, there are {len(found)} of them; lower "
        "model.prior.components, or give a vamp prior model.prior.init=random"
    )


def _centres(images: Tensor | Images, count: int, seed: int, of: str) -> Tensor:
    from sklearn.cluster import MiniBatchKMeans

    seen = _distinct(images, count, seed, of)  # so that each of the centres can be another
    order = stream(seed, "k-means").permutation(len(images))[: max(1, min(CLUSTERED, VALUES // images[0].numel()))]
    flat, start = (to_floats(x).flatten(1).numpy() for x in (images[torch.from_numpy(np.sort(order))], seen))
    flat = np.concatenate([flat, start]) if len(flat) < count else flat
    options = {"init": start, "n_init": 1, "batch_size": max(1024, count), "random_state": seed}
    options["reassignment_ratio"] = 0.0  # small clusters keep their centre; moved to a random image, two would be alike
    fitted = MiniBatchKMeans(count, **options).fit(flat)  # pyright: ignore[reportArgumentType]
    found = torch.from_numpy(fitted.cluster_centers_).view(count, *images.shape[1:])
    return found if images.dtype.is_floating_point else to_bytes(found)


def gaussian_of(q: Distribution) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [K, D] of a diagonal Gaussian, or of the base of its pushforward."""
    base = q.base if isinstance(q, Pushforward) else q
    if normal := normal_of(base):
        return normal.loc, normal.scale
    if isinstance(q, Hierarchy):
        raise ValueError(
            "this prior is of one level, and the posterior has more; make it the top of a two_level, or of a ladder if "
            "the posterior is one"
        )
    raise ValueError(f"this prior is made of diagonal Gaussian posteriors, not {type(base).__name__}; set another")


@contextmanager
def running_statistics(module: nn.Module) -> Iterator[None]:
    """Batch normalisation by running statistics, which stay as they are, whatever the mode."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True
