"""How far the Gaussians of two image sets' features are apart."""

import math

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics.feature_pairs import JACKKNIFE, Estimate, FeaturePair, Features, feature_pair
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.registry import Seed, Size, register

PARTS = {1: 1.0, 2: 0.5, 4: -0.5}  # in how many parts the sets are cut: the weight in the least-squares line at 0
ABOUT = About(
    "Fréchet",
    {
        "frechet": Value("Fréchet distance", "", "lower", "distance of samples", rank=8, tile="Fréchet"),
        "frechet_unbiased": Value("Fréchet distance, without bias", better="lower"),
    },
    quick=True,
    elsewhere={
        "fid": "frechet with extractor=inception is the FID",
        "is": "the Inception score is not measured; frechet and precision_recall judge samples",
    },
)


@register("metric", "frechet", ABOUT)
def frechet(
    split: Split,
    fake: Tensor,
    device: torch.device,
    *,
    extractor: Features = "auto",
    pca_dim: Size | None = None,
    seed: Seed = 0,
) -> Measurement:
    """Fréchet distance of two image sets' features, lower is better (Heusel et al. 2017).

    - `frechet`: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), which is too large by about c/N for N images;
    - `frechet_unbiased`: the line through the mean distances of halves and quarters of both sets (cut by `seed`) and
      of the whole, at 1/N = 0 (after Chong & Forsyth 2020, FID∞); below 0 by chance where the sets are alike.

    `pca_dim` fits that many principal components on the real features first. Raises NotApplicable below 8 images.
    """
    if min(len(split), len(fake)) < 8:
        raise NotApplicable(f"a Fréchet distance needs 8 images in each set, got {len(split)} and {len(fake)}")
    pair = feature_pair(extractor, split, fake, device, pca_dim)
    whole, unbiased, curve = extrapolated(pair.real, pair.fake, seed)
    return Measurement(
        values={"frechet": whole.value, "frechet_unbiased": unbiased.value},
        intervals={"frechet": whole.interval, "frechet_unbiased": unbiased.interval},
        protocol=pair.protocol
        | {"covariance": "unbiased", "interval": f"{JACKKNIFE}; of frechet, around its biased value"},
        curves={"frechet": curve},
        notes=[_label(extractor.name, pca_dim), *_worth(pair)],
    )


def frechet_distance(real: Tensor, fake: Tensor) -> Estimate:
    """Fréchet distance of features [N, F] and [M, F], each set taken as a Gaussian, in float64.

    With centred X = √(N−1) QR, Y = √(M−1) PS, and RSᵀ = UDVᵀ, tr(Σ₁Σ₂)^½ = ΣD: no square root of a singular matrix,
    and none larger than the number of images. A real image x, the i-th, moves it by
    N/(N−1) |x − μ₁|² + 2(μ₁ − μ₂)(x − μ₁) − N Σ_j D_j (QU)²_ij, less the mean of that.
    """
    gap = real.double().mean(0) - fake.double().mean(0)
    x, y = (_centred(z.double()) for z in (real, fake))
    (q, r), (p, s) = torch.linalg.qr(x), torch.linalg.qr(y)
    u, d, vt = torch.linalg.svd(r @ s.T, full_matrices=False)
    value = (gap.square().sum() + x.square().sum() + y.square().sum() - 2 * d.sum()).item()
    by_real = _influence(x, gap, (q @ u).square() @ d)
    return Estimate(max(0.0, value), by_real, _influence(y, -gap, (p @ vt.T).square() @ d))  # 0 to rounding only


def _centred(x: Tensor) -> Tensor:
    """The root A of a covariance AᵀA."""
    return (x - x.mean(0)) / math.sqrt(len(x) - 1)


def _influence(x: Tensor, gap: Tensor, shared: Tensor) -> Tensor:
    count = len(x)
    by_image = count * (x.square().sum(1) - shared) + 2 * math.sqrt(count - 1) * x @ gap
    return by_image - by_image.mean()


def extrapolated(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[Estimate, Estimate, list[tuple[float, float]]]:
    """The distance of the whole sets, the one extrapolated to endless sets, and (N of a part, mean distance).

    With v the variance of the whole that is due to pairs of images, halves have 2v, and the jackknife counts all of it
    twice, so that v is half of what halves add. Extrapolated, pairs within a quarter cancel, those between quarters of
    a half count twice: 1.5 v.
    """
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(x), generator=generator).to(x.device) for x in (real, fake)]
    levels = {count: _in_parts(real, fake, orders, count) for count in PARTS}
    value = sum(PARTS[k] * e.value for k, e in levels.items())
    influences = [sum(PARTS[k] * e[side] for k, e in levels.items()) for side in (1, 2)]
    smaller = min(len(real), len(fake))
    curve = sorted((smaller / k, e.value) for k, e in levels.items())
    pairs = (levels[2].jackknife - levels[1].jackknife) / 2
    return levels[1]._replace(pairs=pairs), Estimate(value, *influences, 1.5 * pairs), curve  # pyright: ignore[reportCallIssue]


def _in_parts(real: Tensor, fake: Tensor, orders: list[Tensor], count: int) -> Estimate:
    """The mean distance over disjoint parts of both sets."""
    by_real, by_fake = (torch.zeros(len(x), dtype=torch.double, device=x.device) for x in (real, fake))
    values = []
    for rows, others in zip(orders[0].tensor_split(count), orders[1].tensor_split(count), strict=True):
        part = frechet_distance(real[rows], fake[others])
        values.append(part.value)
        by_real[rows], by_fake[others] = part.real, part.fake
    return Estimate(sum(values) / count, by_real, by_fake)


def _label(name: str, pca_dim: int | None) -> str:
    if name == "inception" and not pca_dim:
        return "frechet is FID: on the features of the 2015 Inception network"
    return f"frechet is not FID: it is comparable only where the features are those of {name!r}, with the same pca_dim"


def _worth(pair: FeaturePair) -> list[str]:
    """What the estimate is worth where images are few."""
    images, dims = min(len(pair.real), len(pair.fake)), pair.real.shape[1]
    if images <= dims:
        return [
            f"{images} images for {dims} feature dimensions: the covariance is singular and both Fréchet numbers are "
            f"far too large, good only for comparing sets of this very size; give more images or set pca_dim"
        ]
    if images < 4 * dims:
        return [f"frechet_unbiased rests on quarters of {images} images, fewer than the {dims} feature dimensions"]
    return []
