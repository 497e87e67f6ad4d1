"""Principal components of a set's training images."""

import torch
from torch import Tensor

from vaelab.data.images import to_floats
from vaelab.data.source import Dataset
from vaelab.errors import UsageError
from vaelab.features.extraction import sha256
from vaelab.registry import Size, register

DIMS = 64
IMAGES = 10_000  # that the components are fitted to, evenly spaced over the training images


@register("extractor", "pca")
class PCA:
    """Coordinates of an image on the `dims` directions of largest variance of the training images: F = dims.

    Fitted to at most 10,000 images; the largest ones by a randomised decomposition with a fixed seed (Halko et al.
    2011). Raises UsageError where there are fewer images or pixels than dimensions.
    """

    name, resize = "pca", "none"

    def __init__(self, data: Dataset, device: torch.device, *, dims: Size = DIMS) -> None:
        from sklearn.decomposition import PCA as Decomposition

        chosen = torch.linspace(0, len(data.train) - 1, min(IMAGES, len(data.train))).long()
        x = to_floats(data.train.images[chosen]).flatten(1)
        if dims > min(x.shape):
            raise UsageError(f"pca: {len(x):,} images of {x.shape[1]:,} values have no {dims} components; lower dims")
        fitted = Decomposition(dims, random_state=0).fit(x.numpy())
        self.mean = torch.from_numpy(fitted.mean_).to(device)
        self.components = torch.from_numpy(fitted.components_).to(device)
        self.hash = sha256([self.mean, self.components])[:12]

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W], uint8 or in [0, 1] -> float32 [B, F]."""
        return (to_floats(images.to(self.mean.device)).flatten(1) - self.mean) @ self.components.T
