"""LPIPS, a distance of images as people see them."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vaelab.features import pretrained
from vaelab.features.networks import Network

SIDE = 64  # of the patches that people judged; much smaller ones vanish in the networks' pools
RESIZE = f"enlarged bilinearly to a shorter side of {SIDE}, where it is less"
EPSILON = 1e-10  # keeps the gradient finite where all features are zero


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity, v0.1 (Zhang et al. 2018): Σ_l mean_hw Σ_c w_lc (â_lchw − b̂_lchw)².

    â and b̂ are the layers of a network (`alex`, `squeeze` or `vgg`), of length 1 over the channels; w ≥ 0 was fitted to
    people's judgements. Differentiable in both images, its own weights frozen; under autocast only the network's
    convolutions run in bfloat16. Raises UsageError for weights that are not to be had.
    """

    def __init__(self, net: str = "squeeze") -> None:
        super().__init__()
        self.network = Network(net)
        shapes = {f"lin{i}.model.1.weight": (1, c, 1, 1) for i, c in enumerate(self.network.taps.values())}
        heads, self.hash = pretrained.read(pretrained.LPIPS_HEADS[net], shapes)
        self.heads = nn.ParameterList(nn.Parameter(head.sqrt(), requires_grad=False) for head in heads.values())

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance, float32 [B], of images [B, 1 or 3, H, W] in [0, 1]."""
        return (self.features(a) - self.features(b)).square().sum(1)

    def features(self, x: Tensor) -> Tensor:
        """Features, float32 [B, F], of images [B, 1 or 3, H, W] in [0, 1]; their squared distance is LPIPS.

        They carry a graph only where x does, so those of a constant target may be computed once and kept.
        """
        short = min(x.shape[2:])
        if short < SIDE:
            x = interpolate(x.float(), [round(side * SIDE / short) for side in x.shape[2:]], mode="bilinear")
        return torch.cat([_scaled(layer, head) for layer, head in zip(self.network(x), self.heads, strict=True)], 1)


def _scaled(layer: Tensor, head: Tensor) -> Tensor:
    """√(w / HW) times the unit vectors over the channels, flat: [B, C, H, W] -> [B, C · H · W]."""
    layer = layer.float()
    length = (layer.square().sum(1, keepdim=True) + EPSILON).sqrt()
    return (layer * head / length / layer[0, 0].numel() ** 0.5).flatten(1)
