"""What distances between image sets share: features of both, how they came about, intervals from influences."""

import math
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.features.extraction import Extractor, features
from vaelab.metrics.intervals import Interval, skewed_interval, student
from vaelab.registry import Role

JACKKNIFE = "jackknife over the images of both sets, pairs of images counted once, corrected for skewness (Hall 1992)"

Features = Annotated[Any, Role("extractor")]  # an option of all these distances


class FeaturePair(NamedTuple):
    """Features of real images [N, F] and of generated ones [M, F], with the protocol that gave them."""

    real: Tensor
    fake: Tensor
    protocol: dict[str, Any]


class Estimate(NamedTuple):
    """A number that two sets give, and by how much each image moves it (von Mises 1947), with mean 0: [N], [M].

    `pairs` is the part of its variance that is due to pairs of images, beyond what each adds alone (Hoeffding 1948).
    """

    value: float
    real: Tensor
    fake: Tensor
    pairs: float = 0.0

    @property
    def jackknife(self) -> float:
        """Σ influence² / N² over both sets (Efron 1982), which counts the variance of pairs twice."""
        return sum(x.var().item() / len(x) for x in (self.real, self.fake))

    @property
    def interval(self) -> Interval:
        """95 %, by the jackknife's variance with that of pairs counted once, and the skewness of the influences."""
        sides = self.real.double(), self.fake.double()
        variance, freedom = self.jackknife, min(map(len, sides)) - 1
        variance -= min(max(self.pairs, 0.0), variance / 2)
        third = sum(x.pow(3).mean().item() / len(x) ** 2 for x in sides)
        skewness = third / variance**1.5 if variance else 0.0
        return skewed_interval(self.value, math.sqrt(variance), skewness, student(freedom))


def feature_pair(
    extractor: Extractor, split: Split, fake: Tensor, device: torch.device, pca_dim: int | None = None
) -> FeaturePair:
    """Features of both sets, on `device` where that has float64, reduced to `pca_dim` components fitted on the real.

    Raises NotApplicable where the sets' images differ in shape, or are too few for the components.
    """
    if split.images.shape[1:] != fake.shape[1:]:
        shapes = " and ".join("×".join(map(str, x.shape[1:])) for x in (split.images, fake))
        raise NotApplicable(f"real and generated images differ in shape, {shapes}; give both sets one shape")
    real, made = features(extractor, split.images, keep=True), features(extractor, fake)
    protocol: dict[str, Any] = {
        "extractor": {"name": extractor.name, "hash": extractor.hash, "resize": extractor.resize},
        "real_images": len(real),
        "fake_images": len(made),
    }
    if pca_dim:
        real, made = _principal_components(real, made, pca_dim)
    place = device if device.type == "cuda" else torch.device("cpu")  # float64 is not on every device
    return FeaturePair(real.to(place), made.to(place), protocol | {"features": real.shape[1]})


def _principal_components(real: Tensor, fake: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    if dims > min(real.shape):
        raise NotApplicable(
            f"pca_dim {dims} needs as many images and features, and there are {real.shape[0]} and {real.shape[1]}; "
            f"choose at most {min(real.shape)}"
        )
    from sklearn.decomposition import PCA

    pca = PCA(dims, random_state=0).fit(real.numpy())
    real, fake = (torch.from_numpy(pca.transform(x.numpy())) for x in (real, fake))
    return real, fake
