"""MNIST from its four official IDX files, and the parser of that format."""

import gzip
import struct
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.data.source import Pool, Source, Split
from vaelab.errors import Damaged
from vaelab.io.files import File, Folder, fetch, parsing
from vaelab.registry import Size, register


@register("data", "mnist")
@dataclass(frozen=True, kw_only=True)
class Mnist(Source):
    """MNIST (LeCun et al. 1998): 60,000 + 10,000 digits of 28 × 28; the last 5,000 of train validate."""

    valid_size: Size | None = 5000

    name: ClassVar[str] = "mnist"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    url: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def read(self, directory: Folder) -> Pool:
        """From `mnist/*.gz`, checked by md5."""
        files = [File(f"{self.name}/{file}", self.url + file, md5) for file, md5 in self.md5.items()]
        x, y, x_test, y_test = (read_idx(file, directory) for file in files)
        train, test = Split(x[:, None], y.long()), Split(x_test[:, None], y_test.long())
        return Pool(train, test=test, classes=self.classes)


def read_idx(file: File, directory: Folder = None) -> Tensor:
    """The uint8 array in a gzipped IDX file, in the shape that its header states; else UsageError."""
    path = fetch(file, directory)
    with parsing(path), gzip.open(path) as stream:
        content = bytearray(stream.read())
        kind, dimensions = struct.unpack_from(">HxB", content, 0)[0], content[3]
        element = content[2]
    if kind != 0 or element != 8:
        raise Damaged(path, f"it begins with {content[:4].hex()}, which no IDX file of bytes does")
    with parsing(path):
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * dimensions).reshape(shape)
