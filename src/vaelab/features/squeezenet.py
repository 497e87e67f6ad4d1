"""SqueezeNet 1.1, a small network that knows ImageNet."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vaelab.data.images import to_floats
from vaelab.features.networks import Network
from vaelab.registry import register

SIDE = 64  # eight times as fast as 128


@register("extractor", "squeezenet")
class SqueezeNet:
    """The last feature maps of SqueezeNet 1.1, averaged over their places: F = 512 (Iandola et al. 2016).

    Raises UsageError for weights that are not to be had, and for images that are neither grey nor RGB.
    """

    name, resize = "squeezenet", f"bilinear with antialiasing to {SIDE}×{SIDE}"

    def __init__(self, device: torch.device) -> None:
        self.network = Network("squeeze").to(device)
        self.hash = self.network.hash

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 1 or 3, H, W], uint8 or in [0, 1] -> float32 [B, F]."""
        x = to_floats(images.to(self.network.mean.device))
        return self.network(interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True))[-1].mean((2, 3))
