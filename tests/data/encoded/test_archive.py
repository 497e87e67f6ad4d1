"""Archives: read without unpacking, refused when broken, encrypted, or leading out of their folder."""

import io
import random
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from vaelab.data.encoded.archive import open_images, read_tar
from vaelab.errors import UsageError

OUTSIDE = ["../a.png", "in/../../a.png", "/etc/a.png", "..", "C:/a.png", "c:a.png", "..\\a.png", "\\\\host\\a.png"]
LINKS_OUTSIDE = ["/etc/passwd", "../../a.png", "..\\..\\a.png", "C:\\a.png"]


def write_zip(path, members: dict[str, bytes], links: dict[str, str] | None = None):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, target)
    return path


def write_tar(path, members: dict[str, bytes], links: dict[str, str] | None = None):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def read_zip(path):
    images = open_images(path)
    return [images.open(number).read() for number in range(len(images))]


def test_images_of_a_zip_are_listed_in_order_and_read(tmp_path):
    members = {"b/2.png": b"two", "b/": b"", "b/1.png": b"one", "b/a.png/": b"", "c.txt": b""}
    path = write_zip(tmp_path / "a.zip", members, {"b/3.png": "1.png"})
    assert read_zip(path) == [b"one", b"two"]


def test_files_of_a_tar_are_read_in_the_order_asked_for(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", {"in/1": b"one", "in/2": b"two", "in/3": b"three"}, {"in/4": "../in/1"})
    assert read_tar(path, ["in/3", "in/1"]) == [b"three", b"one"]
    with pytest.raises(UsageError, match=r"a\.tar\.gz is truncated, damaged or another file \(it has no in/5\)"):
        read_tar(path, ["in/5"])


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_outside_the_folder_is_refused(tmp_path, name):
    for write, read in ((write_zip, read_zip), (write_tar, lambda path: read_tar(path, ["good"]))):
        with pytest.raises(UsageError, match=r"leads out of the folder .* get the original one"):
            read(write(tmp_path / "a", {"good": b"", name: b""}))


@pytest.mark.parametrize("target", LINKS_OUTSIDE)
def test_a_link_to_the_outside_is_refused(tmp_path, target):
    for write, read in ((write_zip, read_zip), (write_tar, lambda path: read_tar(path, ["good"]))):
        with pytest.raises(UsageError, match=r"holds a link 'in/link' to '.*', which leads out"):
            read(write(tmp_path / "a", {"good": b""}, {"in/link": target}))


@pytest.mark.parametrize("harm", ["cut", "none", "empty", "flip", "encrypt"])
def test_a_broken_or_encrypted_zip_is_refused(tmp_path, harm):
    path = write_zip(tmp_path / "a.zip", {"1.png": b"content"})
    whole = path.read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "none": b"<html>",
        "empty": b"",
        "flip": whole.replace(b"content", b"contend"),
        "encrypt": whole.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"),
    }
    assert broken[harm] != whole
    path.write_bytes(broken[harm])
    with pytest.raises(UsageError, match=r"a\.zip is truncated, damaged or another file"):
        read_zip(path)


@pytest.mark.parametrize("keep", [0, 60, 5000])
def test_a_broken_tar_is_refused(tmp_path, keep):
    path = write_tar(tmp_path / "a.tar.gz", {"1": random.Random(0).randbytes(9000)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UsageError, match=r"a\.tar\.gz is truncated, damaged or another file"):
        read_tar(path, ["1"])


def test_images_are_read_alike_from_a_folder_and_a_zip(tmp_path):
    picture = io.BytesIO()
    Image.new("L", (3, 2), 90).save(picture, "png")
    members = {"in/b.png": picture.getvalue(), "in/a.PNG": picture.getvalue(), "__MACOSX/a.png": b"", "in/.c.png": b""}
    for name, content in members.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(content)
    for path in (tmp_path / "out", write_zip(tmp_path / "a.zip", members)):
        images = open_images(path)
        assert images.names == ["in/a.PNG", "in/b.png"]
        assert Image.open(images.open(1)).size == (3, 2)
        assert Image.open(images.at(np.array([1])).open(0)).size == (3, 2)


def test_a_zip_without_images_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.txt": b""})
    with pytest.raises(UsageError, match="it holds no images"):
        open_images(path)


def test_a_member_larger_than_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vaelab.io.memory.available_memory", lambda: 1000.0)
    path = write_zip(tmp_path / "a.zip", {"1.png": b"0" * 900})
    with pytest.raises(UsageError, match=r"1.png in .*a.zip, as if made to exhaust memory, would take .*; unpack the"):
        open_images(path)
