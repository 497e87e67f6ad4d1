"""MNIST and Fashion-MNIST from their four official IDX files."""

from dataclasses import dataclass
from typing import ClassVar

from vaelab.data.containers.formats import read_idx
from vaelab.data.source import Pool, Source, Split
from vaelab.io.places import Directory, File, fetch
from vaelab.registry import Size, register


@register("data", "mnist")
@dataclass(frozen=True, kw_only=True)
class Mnist(Source):
    """MNIST (LeCun et al. 1998): 60,000 + 10,000 digits of 28 × 28; the last 5,000 of train validate."""

    valid_size: Size | None = 5000

    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    url: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def read(self, directory: Directory) -> Pool:
        """From `mnist/*.gz`, checked by md5."""
        files = [File(f"{self.name}/{file}", self.url + file, md5) for file, md5 in self.md5.items()]
        x, y, x_test, y_test = (read_idx(fetch(file, directory)) for file in files)
        train, test = Split(x[:, None], y.long()), Split(x_test[:, None], y_test.long())
        return Pool(train, test=test, classes=self.classes)


@register("data", "fashion_mnist")
@dataclass(frozen=True, kw_only=True)
class FashionMnist(Mnist):
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28 × 28, split as `mnist` is."""

    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    url: ClassVar[str] = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
