"""Omniglot, from the 28 × 28 version of the papers and from the original drawings."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from vaelab.data import load, omniglot
from vaelab.errors import UsageError, VaelabError
from vaelab.io.places import File

COUNTS = {"data": 12, "testdata": 5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "COUNTS", COUNTS)
    (tmp_path / "omniglot").mkdir()
    return tmp_path / "omniglot"


def write_chardata(folder, **spoilt) -> dict[str, np.ndarray]:
    """Returns row-major levels in [0, 1]; the alphabet of each is its number."""
    random = np.random.default_rng(0)
    levels = {key: random.random((n, 28, 28)) for key, n in COUNTS.items()}
    content = {key: x.swapaxes(1, 2).reshape(-1, 784).T for key, x in levels.items()}
    content |= {"target": np.eye(50)[:, : COUNTS["data"]], "testtarget": np.eye(50)[:, : COUNTS["testdata"]]}
    scipy.io.savemat(folder / "chardata.mat", {**content, **spoilt})
    return levels


def write_archives(folder, monkeypatch, pair: str, names: tuple[list[str], list[str]]) -> None:
    """Each drawing is a bar of ink as long as the drawer's number says."""
    written = []
    for file, inside in zip(getattr(omniglot, pair), names, strict=True):
        path = folder.parent / file.path
        with zipfile.ZipFile(path, "w") as archive:
            for name in inside:
                paper = np.full((105, 105), True)
                paper[:15, : 15 * int(name[-6:-4])] = False
                picture = io.BytesIO()
                Image.fromarray(paper).save(picture, "png")
                archive.writestr(f"{path.stem}/{name}", picture.getvalue())
        written.append(File(file.path, file.url, hashlib.md5(path.read_bytes()).hexdigest()))
    monkeypatch.setattr(omniglot, pair, written)


def drawings(alphabet: str, first: int, last: int) -> list[str]:
    return [f"{alphabet}/character01/0001_{n:02}.png" for n in range(first, last + 1)]


def length(image: torch.Tensor) -> int:
    """The drawer's number, from the ink in the first row."""
    return int((image[0, 0] > 127).sum()) // 4


def test_chardata_is_read_upright_with_its_split_and_alphabets(folder):
    levels = write_chardata(folder)
    data = load("omniglot", folder.parent, valid_size=4)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [8, 4, 5]
    images, labels = (torch.cat([getattr(s, k) for s in (data.train, data.valid)]) for k in ("images", "labels"))
    for found, who, expected in ((images, labels, levels["data"]), (data.test.images, None, levels["testdata"])):
        whose = expected if who is None else expected[who.numpy()]
        assert np.abs(found[:, 0].numpy() / 255 - whose).max() <= 0.5 / 255 + 1e-9
    assert sorted(labels.tolist()) == list(range(12)) != labels.tolist()  # shuffled, so that all alphabets validate
    assert data.test.labels.tolist() == list(range(5))
    assert (data.x_shape, data.classes[3], data.binary) == ((1, 28, 28), "alphabet 4", False)


def test_a_seed_gives_another_validation_set(folder):
    write_chardata(folder)
    one, same, other = (load("omniglot", folder.parent, valid_size=4, seed=s).valid.labels for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(
    "spoilt", [{"data": np.zeros((784, 3))}, {"data": np.full((784, 12), 255)}, {"data": -np.ones((784, 12))}]
)
def test_another_shape_or_range_is_refused(folder, spoilt):
    write_chardata(folder, **spoilt)
    with pytest.raises(UsageError, match=r"data is .* and should be 784 × 12 grey levels from 0 to 1"):
        load("omniglot", folder.parent, valid_size=4)


def test_the_large_archives_train_and_test_on_different_alphabets(folder, monkeypatch):
    names = drawings("Old_Greek", 1, 6), drawings("Elvish", 1, 3)
    write_archives(folder, monkeypatch, "LARGE", names)
    write_archives(folder, monkeypatch, "SMALL", names)
    data = load("omniglot", folder.parent, valid_size=2)
    assert data.classes == ("Elvish", "Old Greek")
    assert [s.labels.tolist() for s in (data.train, data.valid, data.test)] == [[1] * 4, [1] * 2, [0] * 3]
    seen = [length(x) for s in (data.train, data.valid) for x in s.images]
    assert sorted(seen) == [1, 2, 3, 4, 5, 6] != seen
    assert [length(x) for x in data.test.images] == [1, 2, 3]


def test_drawings_in_both_small_archives_count_once(folder, monkeypatch):
    write_archives(
        folder, monkeypatch, "SMALL", (drawings("Greek", 1, 6), drawings("Greek", 4, 6) + drawings("N", 1, 4))
    )
    data = load("omniglot", folder.parent, valid_size=2, test_size=3)
    splits = (data.train, data.valid, data.test)
    assert [len(s) for s in splits] == [5, 2, 3]
    found = sorted((int(y), length(x)) for s in splits for x, y in zip(s.images, s.labels, strict=True))
    assert found == [(0, n) for n in range(1, 7)] + [(1, n) for n in range(1, 5)]


def test_the_source_can_be_chosen(folder, monkeypatch):
    write_chardata(folder)
    write_archives(folder, monkeypatch, "SMALL", (drawings("Greek", 1, 6), drawings("N", 1, 4)))
    chosen = {s: load("omniglot", folder.parent, valid_size=2, source=s) for s in ("auto", "chardata", "archives")}
    assert {s: len(data.classes) for s, data in chosen.items()} == {"auto": 50, "chardata": 50, "archives": 2}
    (folder / "chardata.mat").unlink()
    assert len(load("omniglot", folder.parent, valid_size=2).classes) == 2
    with pytest.raises(VaelabError, match=r"chardata\.mat is not in .* save it as"):
        load("omniglot", folder.parent, source="chardata")


def test_a_missing_set_asks_for_chardata_or_the_large_archives(tmp_path):
    with pytest.raises(VaelabError, match=r"chardata\.mat is not in .* save it as"):
        load("omniglot", tmp_path)
    with pytest.raises(VaelabError, match=r"images_background\.zip is not in .* save it as"):
        load("omniglot", tmp_path, source="archives")


def test_one_flipped_byte_of_an_archive_is_noticed(folder, monkeypatch):
    write_archives(folder, monkeypatch, "SMALL", (drawings("Greek", 1, 6), drawings("N", 1, 4)))
    path = folder / "images_background_small2.zip"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"small2\.zip is truncated, damaged or another file"):
        load("omniglot", folder.parent, valid_size=2)


@pytest.mark.parametrize("pixels, fewer", [(105, 28), (6, 3), (7, 7), (5, 4)])
def test_area_weights_keep_the_mean_and_agree_with_repeating(pixels, fewer):
    weights = omniglot.area_weights(pixels, fewer)
    assert weights.sum(1) == pytest.approx(np.ones(fewer))
    assert weights.sum(0) == pytest.approx(np.full(pixels, fewer / pixels))
    line = np.random.default_rng(0).random(pixels)
    assert weights @ line == pytest.approx(line.repeat(fewer).reshape(fewer, pixels).mean(1))


def test_real_omniglot(real):
    data = load("omniglot", real("omniglot"), source="archives")
    if len(data.train) + len(data.valid) == 19_280:
        assert len(data.test) == 13_180
        return
    splits = (data.train, data.valid, data.test)
    assert [len(s) for s in splits] == [3011, 1345, 484]
    assert len(data.classes) == 8
    images = torch.cat([s.images for s in splits])
    assert len({x.numpy().tobytes() for x in images}) == 4840
    assert images.double().mean() / 255 == pytest.approx(0.08, abs=0.005)  # ink is white, and there is little of it
