"""How far two image sets' features are apart in the mean of a polynomial kernel."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics.feature_pairs import Estimate, Features, feature_pair
from vaelab.metrics.intervals import ENOUGH, Interval, student, too_few
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.registry import Size, register

INTERVAL = "jackknife over the images of both sets, upwards in proportion to the distance"
ROWS = 1024  # whose kernel values are held at once
ABOUT = About(
    "Kernel",
    {"kernel": Value("Kernel distance", better="lower")},
    quick=True,
    elsewhere={"kid": "kernel with extractor=inception is the KID"},
)


@register("metric", "kernel", ABOUT)
def kernel(
    split: Split, fake: Tensor, device: torch.device, *, extractor: Features = "auto", pca_dim: Size | None = None
) -> Measurement:
    """`kernel`: unbiased squared MMD of two image sets' features, lower is better (KID, Bińkowski et al. 2018).

    The kernel is (xy/F + 1)³, over all pairs of images; below 0 by chance where the sets are alike. Published KIDs are
    means over random subsets of 1000 Inception features, which estimate the same number with more noise. Raises
    NotApplicable below 2 images.
    """
    fewest = min(len(split), len(fake))
    if fewest < 2:
        raise NotApplicable(f"a kernel distance needs 2 images in each set, got {len(split)} and {len(fake)}")
    pair = feature_pair(extractor, split, fake, device, pca_dim)
    distance = kernel_distance(pair.real, pair.fake)
    protocol = pair.protocol | {"estimator": "unbiased, all pairs", "interval": INTERVAL}
    intervals = {"kernel": interval_of(distance)} if fewest >= ENOUGH else {}
    notes = [] if intervals else [too_few(fewest, ENOUGH)]
    return Measurement({"kernel": distance.value}, intervals, protocol, notes=notes)


def kernel_distance(real: Tensor, fake: Tensor) -> Estimate:
    """Unbiased MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y) of features [N, F] and [M, F], in float64.

    An image x moves it by 2(E k(x, x') − E k(x, y)), less the mean of that: twice its Hoeffding projection. What is
    left of k beside the projections of both images is the part of pairs.
    """
    (own_real, left_real), (own_fake, left_fake) = (_within(x) for x in (real, fake))
    across = _sums(real, fake)
    by_real = 2 * (own_real - across.rows / len(fake))
    by_fake = 2 * (own_fake - across.columns / len(real))
    value = (by_real.mean() + by_fake.mean()).item() / 2
    left = _left(across.squares, across.rows / len(fake), across.columns / len(real))
    pairs = 2 * left_real / len(real) ** 2 + 2 * left_fake / len(fake) ** 2 + 4 * left / len(real) / len(fake)
    return Estimate(value, by_real - by_real.mean(), by_fake - by_fake.mean(), pairs)


def interval_of(distance: Estimate) -> Interval:
    """95 % interval of a squared distance, which scatters the more the larger it is.

    Of the jackknife's variance, what images add alone grows in proportion to the distance above the one found. What
    pairs add is counted once and a half, between once and the jackknife's twice, since its estimate is low by chance
    when the distance is.
    """
    reach = student(min(len(distance.real), len(distance.fake)) - 1)
    pairs = min(distance.pairs, distance.jackknife / 2)
    alone, value = distance.jackknife - 2 * pairs, distance.value
    spread = reach * math.sqrt(alone + 1.5 * pairs)
    slope = alone / max(value, math.sqrt(pairs)) if alone else 0.0
    middle = value + reach**2 * slope / 2
    high = middle + math.sqrt(max(0.0, middle**2 - value**2 + 1.5 * reach**2 * pairs))
    return value - spread, max(value + spread, high)


class _Sums(NamedTuple):
    """Of the kernel over all pairs of two sets: sums over the second [N] and the first [M], and the sum of squares."""

    rows: Tensor
    columns: Tensor
    squares: float


def _within(x: Tensor) -> tuple[Tensor, float]:
    """Mean kernel value of each image [N] with the others of its set, and the variance that pairs add to these."""
    sums, itself = _sums(x, x), (x.double().square().mean(1) + 1) ** 3
    rows = (sums.rows - itself) / (len(x) - 1)
    squares = (sums.squares - itself.square().sum().item()) * len(x) / (len(x) - 1)  # as if all N² pairs were there
    return rows, _left(squares, rows, rows)


def _left(squares: float, rows: Tensor, columns: Tensor) -> float:
    """Variance of the kernel over pairs, less that of the mean over each of the two images."""
    total = squares / len(rows) / len(columns) - rows.mean().item() ** 2
    return max(0.0, total - rows.var(correction=0).item() - columns.var(correction=0).item())


def _sums(a: Tensor, b: Tensor) -> _Sums:
    """Of (ab/F + 1)³, in blocks of rows."""
    b, rows, squares = b.double().T / b.shape[1], [], 0.0
    columns = torch.zeros(b.shape[1], dtype=b.dtype, device=b.device)
    for part in a.split(ROWS):
        values = (part.double() @ b).add_(1).pow_(3)
        rows.append(values.sum(1))
        columns += values.sum(0)
        squares += values.square_().sum().item()
    return _Sums(torch.cat(rows), columns, squares)
