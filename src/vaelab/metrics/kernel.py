"""How far two image sets' features are apart in the mean of a polynomial kernel."""

from typing import Annotated, Any

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.metrics.feature_pairs import JACKKNIFE, Estimate, feature_pair
from vaelab.metrics.measurement import Measurement, NotApplicable
from vaelab.registry import Part, Size, register

ROWS = 1024  # whose kernel values are held at once


@register("metric", "kernel")
def kernel(
    split: Split,
    fake: Tensor,
    device: torch.device,
    *,
    extractor: Annotated[Any, Part("extractor")] = "auto",
    pca_dim: Size | None = None,
) -> Measurement:
    """`kernel`: unbiased squared MMD of two image sets' features, lower is better (KID, Bińkowski et al. 2018).

    The kernel is (xy/F + 1)³, over all pairs of images; below 0 by chance where the sets are alike. Published KIDs are
    means over random subsets of 1000 Inception features, which estimate the same number with more noise. Raises
    NotApplicable below 2 images.
    """
    if min(len(split), len(fake)) < 2:
        raise NotApplicable(f"a kernel distance needs 2 images in each set, got {len(split)} and {len(fake)}")
    pair = feature_pair(extractor, split, fake, device, pca_dim)
    distance = kernel_distance(pair.real, pair.fake)
    protocol = pair.protocol | {"estimator": "unbiased, all pairs", "interval": JACKKNIFE}
    return Measurement({"kernel": distance.value}, {"kernel": distance.interval}, protocol)


def kernel_distance(real: Tensor, fake: Tensor) -> Estimate:
    """Unbiased MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y) of features [N, F] and [M, F], in float64.

    An image x moves it by 2(E k(x, x') − E k(x, y)), less the mean of that: twice its Hoeffding projection.
    """
    within = [(_sums(x, x) - _itself(x)) / (len(x) - 1) for x in (real, fake)]
    across = _sums(real, fake) / len(fake), _sums(fake, real) / len(real)
    by_real, by_fake = (2 * (own - other) for own, other in zip(within, across, strict=True))
    value = (by_real.mean() + by_fake.mean()).item() / 2
    return Estimate(value, by_real - by_real.mean(), by_fake - by_fake.mean())


def _sums(a: Tensor, b: Tensor) -> Tensor:
    """Σ_b (ab/F + 1)³ for each row of a."""
    b = b.double().T / b.shape[1]
    return torch.cat([(rows.double() @ b).add_(1).pow_(3).sum(1) for rows in a.split(ROWS)])


def _itself(x: Tensor) -> Tensor:
    return (x.double().square().mean(1) + 1) ** 3
