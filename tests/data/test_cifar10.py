"""CIFAR-10, packed and unpacked, made small and real."""

import hashlib
import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch

from vaelab.data import cifar10, load
from vaelab.errors import UsageError, VaelabError
from vaelab.io.places import File

RECORD = 3073


@pytest.fixture
def batches(monkeypatch) -> dict[str, bytes]:
    """Six batches of four records, with their md5s in place of the official ones."""
    random = np.random.default_rng(0)
    content = {}
    for name in cifar10.BATCHES:
        records = random.integers(0, 256, (4, RECORD), np.uint8)
        records[:, 0] %= 10
        content[name] = records.tobytes()
    monkeypatch.setattr(cifar10, "BATCHES", {name: hashlib.md5(c).hexdigest() for name, c in content.items()})
    return content


def place(form: str, root, batches, monkeypatch) -> None:
    folder = root / "cifar10" / ("cifar-10-batches-bin" if form == "unpacked" else "")
    folder.mkdir(parents=True)
    if form != "packed":
        for name, content in batches.items():
            (folder / name).write_bytes(content)
        return
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    md5 = hashlib.md5((folder / "cifar-10-binary.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE", File(cifar10.ARCHIVE.path, cifar10.URL, md5))


@pytest.mark.parametrize("form", ["packed", "unpacked", "bare"])
def test_all_forms_give_the_official_splits(tmp_path, batches, monkeypatch, form):
    place(form, tmp_path, batches, monkeypatch)
    data = load("cifar10", tmp_path, valid_size=3)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [17, 3, 4]
    splits = (data.train, data.valid, data.test)
    images, labels = (torch.cat([getattr(s, k) for s in splits]) for k in ("images", "labels"))
    records = np.frombuffer(b"".join(batches.values()), np.uint8).reshape(-1, RECORD)
    assert labels.tolist() == records[:, 0].tolist()
    assert np.array_equal(images.numpy().reshape(-1, 3072), records[:, 1:])
    assert (data.x_shape, labels.dtype, len(data.classes)) == ((3, 32, 32), torch.int64, 10)


def test_the_first_plane_of_a_record_is_red_and_its_rows_come_first():
    record = np.zeros((3, 32, 32), np.uint8)
    record[0, 0, 1], record[2, 5, 0] = 7, 9
    images, labels = cifar10.parse_batch(bytes([4]) + record.tobytes(), "batch")
    assert (images[0, 0, 0, 1], images[0, 2, 5, 0], images.sum(), labels.tolist()) == (7, 9, 16, [4])


def test_a_truncated_batch_is_refused(tmp_path, batches, monkeypatch):
    place("unpacked", tmp_path, batches, monkeypatch)
    path = tmp_path / "cifar10" / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"data_batch_3\.bin is truncated, damaged or another file \(its 12,291 bytes"):
        load("cifar10", tmp_path, valid_size=3)


@pytest.mark.parametrize("content", [b"", bytes(RECORD - 1), bytes([10]) + bytes(RECORD - 1)])
def test_what_is_no_batch_is_refused(tmp_path, content):
    with pytest.raises(UsageError, match=r"batch\.bin is truncated, damaged or another file"):
        cifar10.parse_batch(content, tmp_path / "batch.bin")


def test_a_missing_set_names_the_archive_and_its_place(tmp_path):
    with pytest.raises(VaelabError, match=r"cifar-10-binary\.tar\.gz is not in .* save it as .*cifar10"):
        load("cifar10", tmp_path)


def test_real_cifar10(real, tmp_path):
    root = real("cifar10")
    if not list((root / "cifar10").rglob("*.bin")):  # the real directory may hold lossless sheets of the batches
        script = root / "unpack_cifar10.py"
        if not script.is_file():
            pytest.skip(f"no batches below {root / 'cifar10'}")
        subprocess.run([sys.executable, script, tmp_path / "cifar10"], check=True, capture_output=True)
        root = tmp_path
    data = load("cifar10", root)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [45_000, 5_000, 10_000]
    assert [data.classes[i] for i in data.train.labels[:5]] == ["frog", "truck", "truck", "deer", "automobile"]
    whole = torch.cat([data.train.images, data.valid.images]).double().flatten(2) / 255
    published = torch.tensor([0.4914, 0.4822, 0.4465]).double()  # per channel, red to blue
    assert torch.allclose(whole.mean((0, 2)), published, atol=5e-5)
    assert torch.cat([data.train.labels, data.valid.labels]).bincount().tolist() == [5000] * 10
