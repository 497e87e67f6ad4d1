"""Files in the place of the data sets': of other shapes and types, damaged, bombs, with objects that execute."""

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from torture.odd import Evil, damaged
from torture.pictures import png
from vaelab.data import cifar10, mnist


def trust_every_hash() -> None:
    """Let files through to the parsers though their hash is another: as if none were known."""
    mnist.Mnist.md5 = dict.fromkeys(mnist.Mnist.md5)
    cifar10.BATCHES = dict.fromkeys(cifar10.BATCHES)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _idx(root: Path, random: Random, evil: Evil) -> None:
    for name in mnist.Mnist.md5:
        count = 6000 if "train" in name else 100
        shape = (count, 28, 28) if "images" in name else (count,)
        _write(root / "mnist" / name, gzip.compress(_idx_bytes(shape), 1))
    sizes = [(2**32 - 1,) * 3, (2**16, 2**16, 1), (0, 28, 28), (5,), (), (100, 5, 5), (1,) * 250]
    inside = damaged(_idx_bytes((100, 28, 28)), random)
    kinds = [
        lambda: gzip.compress(inside),
        lambda: gzip.compress(_idx_bytes(random.choice(sizes), empty=True)),
        lambda: gzip.compress(struct.pack(">HBB", 0, 13, 3) + bytes(99)),
        lambda: damaged(gzip.compress(inside), random),
        lambda: pickle.dumps(evil),
        lambda: gzip.compress(_idx_bytes((2000, 1000, 1000), empty=True)) + gzip.compress(bytes(2**20)) * 2000,
    ]
    _write(root / "mnist" / random.choice(list(mnist.Mnist.md5)), random.choice(kinds)())


def _idx_bytes(shape: tuple[int, ...], empty: bool = False) -> bytes:
    head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return head + (b"" if empty else bytes(int(np.prod(shape))))


def _cifar(root: Path, random: Random, evil: Evil) -> None:
    record = cifar10.RECORD
    for name in cifar10.BATCHES:
        _write(root / "cifar10" / name, bytes(record * 2000))
    contents = [bytes(record - 1), b"\xff" * record, damaged(bytes(record * 10), random), b"", pickle.dumps(evil)]
    _write(root / "cifar10" / random.choice(list(cifar10.BATCHES)), random.choice(contents))


def _frey(root: Path, random: Random, evil: Evil) -> None:
    path = root / "freyfaces" / random.choice(("freyfaces.npz", "frey_rawface.mat"))
    _arrays(path, {"x" if path.suffix == ".npz" else "ff": (1965, 28, 20)}, random, evil)


def _static(root: Path, random: Random, evil: Evil) -> None:
    if random.random() < 0.6:
        shapes = {key: (10, 28, 28) for key in ("train", "valid", "test")}
        return _arrays(root / "static_mnist" / "binarized_mnist_fixed.npz", shapes, random, evil)
    for split in ("train", "valid", "test"):
        text = random.choice([b"0 1 " * 392 + b"\n", b"0 2\n", b"\xff", b"", pickle.dumps(evil), b"0" * 784 * 10_000])
        _write(root / "static_mnist" / f"binarized_mnist_{split}.amat", text)
    return None


def _silhouettes(root: Path, random: Random, evil: Evil) -> None:
    shapes = {"train_data": (4100, 784), "train_labels": (4100, 1), "classnames": (1, 101)}
    _arrays(root / "caltech101_silhouettes/caltech101_silhouettes_28_split1.mat", shapes, random, evil)


def _chardata(root: Path, random: Random, evil: Evil) -> None:
    _arrays(root / "omniglot" / "chardata.mat", {"data": (784, 100), "testdata": (784, 50)}, random, evil)


def _arrays(path: Path, shapes: dict[str, tuple[int, ...]], random: Random, evil: Evil) -> None:
    """An npz or mat file of wrong shapes or types, damaged, with objects that execute, or that unpacks to gigabytes."""
    whole = _whole(path.suffix, shapes, random, evil)
    kinds = [
        *[lambda: whole, lambda: damaged(whole, random)] * 2,
        lambda: _huge(shapes, random),
        lambda: pickle.dumps(evil),
        lambda: b"",
    ]
    _write(path, random.choice(kinds)())


def _whole(suffix: str, shapes: dict[str, tuple[int, ...]], random: Random, evil: Evil) -> bytes:
    from scipy.io import savemat

    stream, types = io.BytesIO(), [np.uint8, np.float64, np.complex64, np.bool_, "U3", np.int64]
    arrays = {
        key: np.zeros(random.choice([shape, shape[:1], (0,), ()]), random.choice(types))  # pyright: ignore
        for key, shape in shapes.items()
    }
    if suffix == ".mat":
        savemat(stream, arrays | {"o": np.array([{"a": 1}], object)}, do_compression=random.random() < 0.5)
    else:
        arrays |= {k: np.array([evil], object) for k in shapes if random.random() < 0.3}
        np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _huge(shapes: dict[str, tuple[int, ...]], random: Random) -> bytes:
    """An npz that says to be huge, or that is, once unpacked."""
    stream, bomb = io.BytesIO(), random.random() < 0.5
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in shapes:
            header = io.BytesIO()
            shape = (3 * 10**9,) if bomb else random.choice([(2**40,), (10**9,), (2**62, 4)])
            np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
            with archive.open(f"{key}.npy", "w") as member:
                member.write(header.getvalue())
                for _ in range(1500 if bomb else 0):
                    member.write(bytes(2**20))
    return stream.getvalue()


def _faces(root: Path, random: Random, evil: Evil) -> None:
    """CelebA's zip: members that climb, lie about their size, or are no faces; and its text files."""
    stream, face = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (178, 218)).save(face, "JPEG")
    with zipfile.ZipFile(stream, "w", random.choice((0, 8))) as archive:
        for i in range(1, 15):
            archive.writestr(f"img_align_celeba/{i:06d}.jpg", face.getvalue())
        odd = [b"", face.getvalue()[:200], png(178_000, 218_000), damaged(face.getvalue(), random), bytes(2 * 10**7)]
        outside = ["../../evil.jpg", "/etc/evil.jpg", "a\0b.jpg", "C:\\evil.jpg", "x/" * 2000 + "y.jpg"]
        name = random.choice(["img_align_celeba/000015.jpg", random.choice(outside)])
        archive.writestr(name, random.choice([face.getvalue(), *odd]))
    content = random.choice([stream.getvalue()] * 3 + [damaged(stream.getvalue(), random), pickle.dumps(evil)])
    _write(root / "celeba" / "img_align_celeba.zip", content)
    lines = "".join(f"{i:06d}.jpg {i % 3}\n" for i in range(1, 16))
    texts = [lines, lines.replace("1\n", "9\n"), lines[:50], "x\n" * 20, "", "\0", lines.replace(" ", " 1" * 2000)]
    if random.random() < 0.5:
        _write(root / "celeba" / "list_eval_partition.txt", random.choice(texts).encode())
    if random.random() < 0.3:
        _write(root / "celeba" / "list_attr_celeba.txt", ("15\na b\n" + random.choice(texts)).encode())


SETS: dict[str, Callable[[Path, Random, Evil], None]] = {
    "mnist": _idx,
    "cifar10": _cifar,
    "freyfaces": _frey,
    "static_mnist": _static,
    "caltech_silhouettes": _silhouettes,
    "omniglot": _chardata,
    "celeba": _faces,
}
