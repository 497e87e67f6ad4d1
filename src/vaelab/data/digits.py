"""The handwritten digits that scikit-learn carries: 1,797 images of 8 × 8, no download."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vaelab.data.source import Pool, Source, Split
from vaelab.files import Folder
from vaelab.registry import Size, register


@register("data", "digits")
@dataclass(frozen=True, kw_only=True)
class Digits(Source):
    """Handwritten digits (Alpaydin & Kaynak 1998), its levels 0..16 scaled to 0..255."""

    valid_size: Size | None = 250
    test_size: Size | None = 250

    name: ClassVar = "digits"

    def read(self, directory: Folder) -> Pool:
        """From the installed package."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        levels = torch.from_numpy(images).reshape(-1, 1, 8, 8)
        pixels = (levels * (255 / 16)).round().to(torch.uint8)
        return Pool(Split(pixels, torch.from_numpy(labels).long()), classes=tuple("0123456789"))
