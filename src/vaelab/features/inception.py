"""The 2015 Inception network, whose features make a Fréchet distance the FID."""

import torch
from torch import Tensor

from vaelab.data.images import to_bytes
from vaelab.errors import UsageError
from vaelab.features.networks import as_rgb
from vaelab.features.pretrained import INCEPTION, find
from vaelab.registry import register


@register("extractor", "inception")
class Inception:
    """The last pooled features of TensorFlow's Inception, by torch-fidelity: F = 2048 (Heusel et al. 2017).

    It takes images of 8 bits, to which others are rounded. Raises UsageError where torch-fidelity or the weights are
    missing, and for images that are neither grey nor RGB.
    """

    name, resize = "inception", "bilinear as in TensorFlow 1 to 299×299"

    def __init__(self, device: torch.device) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise UsageError(
                f"extractor inception needs torch-fidelity ({error}); install it with pip install 'vaelab[fidelity]', "
                "or take another extractor"
            ) from error
        path, self.hash = find(INCEPTION)
        self.network = FeatureExtractorInceptionV3("inception", ["2048"], str(path)).to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 1 or 3, H, W], uint8 or in [0, 1] -> float32 [B, F]."""
        images = to_bytes(images) if images.is_floating_point() else images
        return self.network(as_rgb(images.to(self.device)))[0]
