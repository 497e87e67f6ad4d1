"""CIFAR-10 from its official binary files, packed or unpacked."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from vaelab.data.encoded.archive import read_tar
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import Damaged
from vaelab.io.files import parsing
from vaelab.io.places import Directory, File, fetch, locate
from vaelab.registry import Size, register

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE = File("cifar10/cifar-10-binary.tar.gz", URL, "c32a1d4ab5d03f1284b67883e8d87530")
INSIDE = "cifar-10-batches-bin"
BATCHES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
RECORD = 1 + 3 * 32 * 32  # a label, then the red, the green and the blue plane


@register("data", "cifar10")
@dataclass(frozen=True, kw_only=True)
class Cifar10(Source):
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 × 32; the last 5,000 of train validate.

    Read from `cifar-10-binary.tar.gz`, or quicker from its `.bin` files, unpacked into `cifar-10-batches-bin/` or
    lying in `cifar10/` itself.
    """

    valid_size: Size | None = 5000

    classes: ClassVar = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

    def read(self, directory: Directory) -> Pool:
        """From `cifar10/`, checked by md5."""
        *train, test = _batches(directory)
        images, labels = (torch.cat(parts) for parts in zip(*train, strict=True))
        return Pool(Split(images, labels), test=Split(*test), classes=self.classes)


def _batches(directory: Directory) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images and labels of each batch, the test batch last."""
    for folder in (f"cifar10/{INSIDE}", "cifar10"):
        if all(locate(f"{folder}/{name}", directory) for name in BATCHES):
            paths = [fetch(File(f"{folder}/{name}", URL, md5), directory) for name, md5 in BATCHES.items()]
            return [parse_batch(path.read_bytes(), path) for path in paths]
    path = fetch(ARCHIVE, directory)
    return [parse_batch(content, path) for content in read_tar(path, [f"{INSIDE}/{name}" for name in BATCHES])]


def parse_batch(content: bytes, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N]; UsageError, naming `path`, for what is no such file."""
    with parsing(path):
        records = torch.from_numpy(np.frombuffer(bytearray(content), np.uint8)).reshape(-1, RECORD)
    if not len(records) or records[:, 0].max() > 9:
        raise Damaged(path, "its records do not begin with a label from 0 to 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()
