"""The handwritten digits that scikit-learn carries: 1,797 images of 8 × 8, no download."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.data.source import Pool, Source, Split
from vaelab.io.places import Directory
from vaelab.registry import Size, register


@register("data", "digits")
@dataclass(frozen=True, kw_only=True)
class Digits(Source):
    """Handwritten digits (Alpaydin & Kaynak 1998), its levels 0..16 scaled to 0..255.

    `side` is 8 as published; from another, the strokes are drawn anew with grey edges, as MNIST's are.
    """

    side: Size = 8
    valid_size: Size | None = 250
    test_size: Size | None = 250

    def read(self, directory: Directory) -> Pool:
        """From the installed package."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        levels = torch.from_numpy(images).reshape(-1, 1, 8, 8) / 16
        levels = levels if self.side == 8 else drawn(levels, self.side)
        pixels = (levels * 255).round().to(torch.uint8)
        return Pool(Split(pixels, torch.from_numpy(labels).long()), classes=tuple("0123456789"))


def drawn(levels: Tensor, side: int) -> Tensor:
    """Images [N, 1, h, w] in [0, 1] at another size: the line at ½ on a fine grid, averaged over each new pixel.

    Enlarging alone would blur the strokes; this way they are white with grey edges, as those that MNIST's images
    were scaled down from.
    """
    fine = -(-4 * side // levels.shape[-1])  # four times finer than the new pixels
    ink = F.interpolate(levels, scale_factor=fine, mode="bicubic") > 0.5
    return F.interpolate(ink.to(levels), (side, side), mode="area")
