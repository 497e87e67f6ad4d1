"""Tar shards: every sample once, by its number, as the tar has it; and shards that are not what they should be."""

import io
import json
import os
import tarfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data import load
from vaelab.data.encoded.decode import read_pixels
from vaelab.data.encoded.extents import Extents
from vaelab.data.encoded.files import stamp
from vaelab.data.webdataset import WebDataset
from vaelab.errors import UsageError


def png(number: int, size=(6, 8)) -> bytes:
    """An image whose every pixel is its number."""
    file = io.BytesIO()
    Image.new("L", size, number).save(file, "PNG")
    return file.getvalue()


def write(path: Path, files: dict[str, bytes] | list[tuple[str, bytes]], kind: int = tarfile.USTAR_FORMAT) -> Path:
    """A shard of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def samples(numbers, label=lambda number: str(number % 3)) -> dict[str, bytes]:
    """An image and its class for each number."""
    return {
        name: content
        for number in numbers
        for name, content in ((f"{number:05}.png", png(number)), (f"{number:05}.cls", label(number).encode()))
    }


@pytest.fixture
def shards(tmp_path):
    for shard in range(4):
        write(tmp_path / "shards" / f"{shard:03}.tar", samples(range(10 * shard, 10 * shard + 10)))
    return tmp_path / "shards"


def numbers(data) -> list[list[int]]:
    return [split.images[:, 0, 0, 0].tolist() for split in (data.train, data.valid, data.test)]


def everything(data) -> list[int]:
    return sorted(chain.from_iterable(numbers(data)))


def refusal(**options) -> str:
    with pytest.raises(UsageError) as error:
        load("webdataset", **options)
    return str(error.value)


def test_each_sample_is_in_one_split_once_with_its_label(shards):
    data = load("webdataset", path=f"{shards}/{{000..003}}.tar")
    found = numbers(data)
    assert everything(data) == list(range(40))
    assert list(map(len, found)) == [32, 4, 4]
    for split, own in zip((data.train, data.valid, data.test), found, strict=True):
        assert split.labels.tolist() == [n % 3 for n in own]
    assert data.classes == ("0", "1", "2")
    assert data.summary == "40 grey images of 8 × 6 in 3 classes, split by seed"


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_any_image_is_what_the_tar_has_in_any_order_and_from_any_thread(tmp_path, kind):
    deep = "far/" * 30 if kind == tarfile.USTAR_FORMAT else "far/" * 80
    names = [f"{folder}ü{number}" for number in range(12) for folder in ("", "a/", deep)]
    content = {
        f"{name}.{ending}": f"{name}{ending}".encode() * 99 for name in names for ending in ("jpg", "txt", "cls")
    }
    path = write(tmp_path / "a.tar", content, kind)
    found = WebDataset(path=str(path), label="none").find(None).files
    with tarfile.open(path) as archive:
        known = {m.name: archive.extractfile(m).read() for m in archive}
    assert list(found.names) == [f"a.tar/{name}" for name in known if name.endswith("jpg")]
    order = np.random.default_rng(0).permutation(np.arange(36).repeat(5)).tolist()
    with ThreadPoolExecutor(8) as workers:
        read = list(workers.map(lambda i: found.open(i).read(), order))
    assert read == [known[found.names[i].removeprefix("a.tar/")] for i in order]


def test_a_file_that_another_thread_puts_away_stays_open_while_it_is_read(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    extents, read = Extents([file], [stamp(file)], np.array([[0, 1, 2]])), os.pread

    def late(*given):
        extents._opened.cache_clear()
        return read(*given)

    monkeypatch.setattr(os, "pread", late)
    assert extents.read(0) == b"bc"


def test_pixels_are_those_of_pillow(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (12, 9, 7, 3), np.uint8)
    files = {}
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(file := io.BytesIO(), "WEBP" if number % 2 else "PNG", lossless=True)
        files[f"{number}.{'webp' if number % 2 else 'png'}"] = file.getvalue()
    found = WebDataset(path=str(write(tmp_path / "a.tar", files))).find(None).files
    assert (np.stack([read_pixels(found.open(i)) for i in range(12)]) == pixels.transpose(0, 3, 1, 2)).all()


def test_images_decoded_live_are_those_decoded_once(shards, cache):
    once, live = (load("webdataset", path=shards, decode=how, size=5) for how in ("once", "live"))
    rows = torch.from_numpy(np.random.default_rng(0).permutation(np.arange(32).repeat(3)))
    with ThreadPoolExecutor(8) as workers:
        parts = list(workers.map(live.train.images.take, rows.split(5)))
    assert torch.equal(torch.cat(parts), once.train.images[rows])
    assert (live.digest, live.summary) == (once.digest, once.summary)
    whole = (shards / "000.tar").read_bytes()
    (shards / "000.tar").write_bytes(whole[:900])
    again = WebDataset(path=str(shards), decode="live")
    with pytest.raises(UsageError, match="it ends within"):
        again.load()


def test_the_index_is_made_once_and_anew_for_a_shard_that_changed(shards, cache, monkeypatch):
    first = load("webdataset", path=shards)
    assert len(list((cache / "webdataset").glob("*.npy"))) == 5  # with the decoded images
    whole = {path: path.read_bytes() for path in (cache / "webdataset").glob("*")}
    looked_at = []
    import vaelab.data.shards.index as module

    real = module.members
    monkeypatch.setattr(module, "members", lambda path: looked_at.append(path.name) or real(path))
    assert numbers(load("webdataset", path=shards)) == numbers(first)
    assert not looked_at
    assert {path: path.read_bytes() for path in (cache / "webdataset").glob("*")} == whole
    write(shards / "001.tar", samples(range(50, 70)))
    assert everything(load("webdataset", path=shards)) == [*range(10), *range(20, 40), *range(50, 70)]
    assert looked_at == ["001.tar"]


def test_what_breaks_off_leaves_no_half_index(shards, cache, monkeypatch):
    import vaelab.data.shards.index as module

    def breaks(path, table):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_save", breaks)
        load("webdataset", path=shards)
    assert not list((cache / "webdataset").iterdir())
    assert len(load("webdataset", path=shards).train) == 32


@pytest.mark.parametrize("given", ["names", "folders", "options"])
def test_shards_may_be_splits(tmp_path, given):
    where = {"names": "{0}-0.tar", "folders": "{0}/0.tar", "options": "{1}.tar"}[given]
    paths = []
    for number, split in enumerate(("train", "val", "test")):
        paths.append(write(tmp_path / "s" / where.format(split, number), samples(range(10 * number, 10 * number + 10))))
    options = dict(zip(("train", "valid", "test"), map(str, paths), strict=True)) if given == "options" else {}
    data = load("webdataset", **(options or {"path": tmp_path / "s"}))
    assert list(map(sorted, numbers(data))) == [list(range(10)), list(range(10, 20)), list(range(20, 30))]
    assert data.summary.endswith("split by shards")


def test_labels_may_be_in_other_files_or_in_json(tmp_path):
    files = samples(range(20), lambda n: "cat" if n % 2 else "dog")
    files |= {f"{n:05}.json": json.dumps({"a": {"b": n % 2}, "c": [n]}).encode() for n in range(20)}
    path = write(tmp_path / "a.tar", files)
    named, nested = load("webdataset", path=path), load("webdataset", path=path, label="json.a.b")
    assert (named.classes, nested.classes) == (("cat", "dog"), ("0", "1"))
    assert torch.equal(1 - named.train.labels, nested.train.labels)
    assert load("webdataset", path=path, label="none").train.labels is None
    assert "a.tar: 00000.json has c '[0]', which is no class" in refusal(path=path, label="json.c")
    assert "20 of the 20 samples" in (said := refusal(path=path, label="json.d"))
    assert "have no json.d; correct data.label, or set it to none" in said


def test_hidden_files_and_links_are_understood(tmp_path):
    files = {f"./{name}": content for name, content in samples(range(10)).items()}
    path = write(tmp_path / "a.tar", {"._00000.png": b"", "readme": b"", "__index__.json": b"{}", **files})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("90.png", tarfile.SYMTYPE), ("91.png", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "./00003.png" if kind == tarfile.LNKTYPE else "00004.png"
            archive.addfile(link)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load("webdataset", path=path, label="none")
    assert everything(data) == [0, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9]


def test_samples_without_an_image_are_left_out_with_a_warning(tmp_path):
    files = {**samples(range(10)), "lost.cls": b"1", "gone.cls": b"1"}
    with pytest.warns(
        UserWarning, match=r"left out 2 of the 12 samples in .* \(a.tar/lost.cls, a.tar/gone.cls\), which"
    ):
        data = load("webdataset", path=write(tmp_path / "a.tar", files))
    assert len(everything(data)) == 10


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"readme": b"", "notes": b""}, "has 0 samples and no image (.png, "),
        ({"0.txt": b"", "1.txt": b""}, "has 2 samples in a.tar/0.txt and others and no image (.png, "),
        ([("0.png", png(0)), ("1.png", png(1)), ("0.png", png(2))], "1 of the 2 samples in %s (a.tar/0.png) have a fi"),
        ({"0.png": png(0), "0.jpg": png(1)}, "(a.tar/0.png) have several images; set data.image to the extension"),
        ({**samples(range(9)), "9.png": b""}, "1 of the 10 samples in %s (a.tar/9.png) have no .cls; "),
        ({"../0.png": png(0)}, "holds '../0.png', which leads out of the folder"),
        ({"0.png": png(0), "0.cls": b"9" * 300}, "0.cls has 300 bytes, which is no class; correct data.label"),
    ],
)  # fmt: skip
def test_samples_that_are_not_clear_are_refused(tmp_path, cache, files, said):
    assert said.replace("%s", str(tmp_path)) in refusal(path=write(tmp_path / "a.tar", files))
    assert not list((cache / "webdataset").glob(".*"))


def test_an_extension_says_which_image_is_meant(tmp_path):
    files = {
        f"{n}.{ending}": png(n + 100 * (ending == "jpg")) for n in range(10) for ending in ("png", "jpg", "seg.png")
    }
    path = write(tmp_path / "a.tar", files)
    assert everything(load("webdataset", path=path, image="png")) == list(range(10))
    assert everything(load("webdataset", path=path, image="gif;jpg")) == list(range(100, 110))
    assert "and no image (.gif); set data.image" in refusal(path=path, image="gif")


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda whole: whole[: 512 * 5 + 10], "it ends within 00021.png, at byte 2,570 of 3,072"),
        (lambda whole: whole[: len(whole) // 512 * 512 // 2 + 13], "byte"),
        (lambda whole: whole[: whole.rindex(b"00029.cls")], "it ends at byte 19,456, without the mark that ends a tar"),
        (lambda whole: whole[:512] + b"garbage" * 99 + whole[1211:], "at byte"),
        (lambda whole: b"", "empty file"),
        (lambda whole: b"no tar" * 999, "ReadError"),
    ],
)
def test_a_damaged_shard_is_named_with_the_place(shards, cut, said):
    path = shards / "002.tar"
    path.write_bytes(cut(path.read_bytes()))
    assert f"{path} is truncated, damaged or another file (" in (told := refusal(path=shards))
    assert said in told


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_compressed_shard_is_refused(tmp_path, mode):
    with tarfile.open(tmp_path / "a.tar", f"w:{mode}"):
        pass
    assert "no image in it can be reached by its number; unpack it to a plain .tar" in refusal(path=tmp_path / "a.tar")


def test_a_shard_that_changes_while_it_is_used_is_noticed(shards):
    files = WebDataset(path=str(shards)).find(None).files
    write(shards / "000.tar", samples(range(3)))
    with pytest.raises(UsageError, match="it has changed since its images were found"):
        files.open(0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "path is missing; give it a value, such as 'shards/{000..127}.tar'"),
        ({"path": "a", "test": "b"}, "give path alone, or train in its place"),
        ({"train": "%s", "test": "%s/001.tar"}, "001.tar is in two splits"),
        ({"train": "%s/000.tar", "test": "%s/9.tar"}, "there is no file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(shards, options, said):
    assert said in refusal(**{key: value.replace("%s", str(shards)) for key, value in options.items()})


def test_classes_and_splits_that_do_not_fit_are_refused(tmp_path):
    write(tmp_path / "train.tar", samples(range(9)))
    write(tmp_path / "test.tar", samples(range(9), lambda n: str(n % 4)))
    said = refusal(path=f"{tmp_path}/{{train,test}}.tar")
    assert (
        f"{tmp_path} has 2 images (test.tar/00003.png, test.tar/00007.png) of a class that train lacks, 3; put" in said
    )
    write(tmp_path / "more.tar", samples(range(9)))
    said = refusal(path=f"{tmp_path}/{{train,test,more}}.tar")
    assert f"train.tar says what split it is of and {tmp_path}/more.tar does not; set data.train" in said
    empty = str(write(tmp_path / "none.tar", {}))
    assert f"the test shards in {tmp_path} have no image" in refusal(train=f"{tmp_path}/train.tar", test=empty)
