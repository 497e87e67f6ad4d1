"""The statically binarised MNIST that most published test log-likelihoods are about."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vaelab.data.containers.formats import read_npz
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import Damaged
from vaelab.io.files import parsing
from vaelab.io.places import Directory, File, fetch, locate
from vaelab.registry import register

URL = "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
COUNTS = {"train": 50_000, "valid": 10_000, "test": 10_000}


@register("data", "static_mnist")
@dataclass(frozen=True, kw_only=True)
class StaticMnist(Source):
    """MNIST with each pixel drawn once (Larochelle & Murray 2011): 50,000 / 10,000 / 10,000, no labels.

    Read from `binarized_mnist_fixed.npz`, else from the three original `.amat` files; no hash of these was
    published, so their number of images and the values 0 and 1 are what is checked.
    """

    def read(self, directory: Directory) -> Pool:
        """From `static_mnist/`, in either format."""
        if path := locate("static_mnist/binarized_mnist_fixed.npz", directory):
            arrays = read_npz(path, {key: (n, 28, 28) for key, n in COUNTS.items()})
            if max(array.max() for array in arrays) > 1:
                raise Damaged(path, "it has values other than 0 and 1")
        else:
            arrays = [_read_amat(split, directory) for split in COUNTS]
        train, valid, test = (Split(torch.from_numpy(array * np.uint8(255))[:, None]) for array in arrays)
        return Pool(train, valid, test, binary=True)


def _read_amat(split: str, directory: Directory) -> np.ndarray:
    """A line of 784 digits 0 or 1 per image -> uint8 [N, 28, 28]; a hundred times faster than parsing numbers."""
    name = f"binarized_mnist_{split}.amat"

    def parse(path: Path) -> np.ndarray:
        text = np.fromfile(path, np.uint8)
        digits = text[(text == ord("0")) | (text == ord("1"))]
        if len(digits) + np.isin(text, list(b" \r\n")).sum() != len(text):
            raise Damaged(path, "it has characters other than 0, 1 and blanks")
        with parsing(path):
            return (digits - np.uint8(ord("0"))).reshape(COUNTS[split], 28, 28)

    return parse(fetch(File(f"static_mnist/{name}", URL + name), directory, parse))
