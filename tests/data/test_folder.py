"""Folders of images: what is read, what is left out, what is refused, and that decoding happens once."""

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data import load
from vaelab.errors import UsageError


def paint(path, number: int, size=(6, 8), mode="RGB") -> None:
    """An image of width × height `size` whose every pixel is its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (number,) * len(mode) if len(mode) > 1 else number).save(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        paint(tmp_path / "pictures" / f"{number:02}.png", number)
    return tmp_path / "pictures"


def numbers(data) -> list[list[int]]:
    return [split.images[:, 0, 0, 0].tolist() for split in (data.train, data.valid, data.test)]


def test_all_images_are_split_in_tenths_by_seed(folder):
    data = load("folder", path=folder)
    train, valid, test = numbers(data)
    assert (len(train), len(valid), len(test)) == (16, 2, 2)
    assert sorted(train + valid + test) == list(range(20))
    assert (data.x_shape, data.classes, data.train.labels) == ((1, 8, 6), None, None)
    assert numbers(load("folder", path=folder, seed=1)) != [train, valid, test]


def test_images_are_decoded_once_and_mapped_from_the_disk(folder, cache, monkeypatch):
    first = load("folder", path=folder)
    monkeypatch.setattr("vaelab.data.encoded.decode.open_image", lambda *_: pytest.fail("decoded again"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load("folder", path=folder, train_size=3, test_size=5)
    assert numbers(again)[0] == (numbers(first)[0] + numbers(first)[1])[:3]
    assert len(list((cache / "folder").glob("*.npy"))) == 1
    assert not list((cache / "folder").glob("*.partial"))
    start = first.train.images.data_ptr()
    assert first.valid.images.data_ptr() == start + first.train.images.numel()  # slices of one mapping


@pytest.mark.parametrize("change", ["touch", "add", "remove", "option"])
def test_a_change_is_noticed(folder, cache, change):
    load("folder", path=folder)
    if change == "touch":
        os.utime(folder / "03.png", (1, 1))
    elif change == "add":
        paint(folder / "99.png", 99)
    elif change == "remove":
        (folder / "03.png").unlink()
    data = load("folder", path=folder, channels=1 if change == "option" else 3)
    assert sum(map(len, (data.train, data.valid, data.test))) == {"add": 21, "remove": 19}.get(change, 20)
    assert len(list((cache / "folder").glob("*.npy"))) == 2


def test_subfolders_are_classes(tmp_path):
    for number in range(12):
        paint(tmp_path / "sets" / ("cats" if number < 5 else "dogs") / "more" / f"{number}.png", number)
    data = load("folder", path=tmp_path / "sets")
    assert data.classes == ("cats", "dogs")
    assert data.train.labels.tolist() == [int(n >= 5) for n in numbers(data)[0]]
    assert data.train.labels.dtype == torch.int64


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("coloured", [None, 0, 19])
def test_channels_are_one_where_all_images_are_grey_and_three_else(tmp_path, cache, mode, coloured):
    for number in range(20):
        image = Image.new("RGB", (6, 8), (9, 8, 7)) if number == coloured else Image.new("L", (6, 8), 200)
        plain = image.convert(mode) if mode != "RGB" and number != coloured else image
        (tmp_path / "sets").mkdir(exist_ok=True)
        plain.save(tmp_path / "sets" / f"{number}.png")
    data = load("folder", path=tmp_path / "sets", size=4)
    assert data.x_shape[0] == (1 if coloured is None else 3)
    assert (data.summary.split()[1] == "grey") == (coloured is None)
    assert load("folder", path=tmp_path / "sets", size=4).x_shape == data.x_shape  # from the cache
    images = torch.cat([split.images for split in (data.train, data.valid, data.test)])
    found = {tuple(image[:, 0, 0].tolist()) for image in images}
    assert len(found) == (1 if coloured is None else 2) and ((9, 8, 7) in found) == (coloured is not None)
    for channels in (1, 3):
        assert load("folder", path=tmp_path / "sets", channels=channels).x_shape[0] == channels


def test_folders_of_splits_keep_test_images_out_of_training(tmp_path):
    for number in range(30):
        split, kind = ("train", "val", "test")[number % 3], ("cats", "dogs")[number // 15]
        paint(tmp_path / "sets" / split / kind / f"{number}.png", number)
    data = load("folder", path=tmp_path / "sets")
    assert [sorted(split) for split in numbers(data)] == [list(range(first, 30, 3)) for first in range(3)]
    assert numbers(data)[0] != sorted(numbers(data)[0])
    for split, found in zip((data.train, data.valid, data.test), numbers(data), strict=True):
        assert split.labels.tolist() == [number // 15 for number in found]
    assert data.classes == ("cats", "dogs")
    assert data.summary == "30 grey images of 8 × 6 in 2 classes, split by folder"
    assert [len(s) for s in (data.train, data.valid, data.test)] == [10, 10, 10]
    both = load("folder", path=tmp_path / "sets", folders="classes")
    assert both.classes == ("test", "train", "val")
    assert both.summary.endswith("in 3 classes, split by seed")


def test_what_is_missing_of_the_splits_is_taken_from_training_images(tmp_path):
    for number in range(30):
        paint(tmp_path / "sets" / ("train" if number < 20 else "test") / f"{number}.png", number)
    (tmp_path / "sets" / "train" / "3.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="left out 1 of the 30 images"):
        train, valid, test = numbers(load("folder", path=tmp_path / "sets"))
    assert sorted(train + valid) == [n for n in range(20) if n != 3]
    assert (len(valid), sorted(test)) == (1, list(range(20, 30)))


@pytest.mark.parametrize("names", [["all/1.png", "all/2.png", "all/3.png"], ["1.png", "a/2.png", "b/3.png"]])
def test_one_subfolder_or_images_outside_them_mean_no_classes(tmp_path, names):
    for number, name in enumerate(names):
        paint(tmp_path / "sets" / name, number)
    data = load("folder", path=tmp_path / "sets")
    assert (data.classes, data.train.labels) == (None, None)


def test_unreadable_files_are_listed_once_and_left_out(folder):
    whole = (folder / "03.png").read_bytes()
    (folder / "03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "05.png").write_bytes(b"")
    (folder / "note.jpg").write_text("not an image")
    (folder / "note.txt").write_text("not an image either")
    (folder / "._07.png").write_text("what macOS leaves behind")
    for _ in range(2):  # from the cache it is said again
        with pytest.warns(UserWarning, match="left out 3 of the 21 images") as said:
            data = load("folder", path=folder)
        assert len(said) == 1
    for name in ("03.png", "05.png", "note.jpg"):
        assert f"\n  {name}: " in str(said[0].message)
    assert sorted(n for split in numbers(data) for n in split) == [n for n in range(20) if n not in (3, 5)]


def test_classes_stay_with_their_images_when_some_are_left_out(tmp_path):
    for number in range(12):
        paint(tmp_path / "sets" / "ab"[number % 2] / f"{number:02}.png", number)
    (tmp_path / "sets" / "a" / "00.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"a/00.png"):
        data = load("folder", path=tmp_path / "sets")
    assert data.train.labels.tolist() == [n % 2 for n in numbers(data)[0]]


def test_no_readable_image_is_an_error(tmp_path, cache):
    (tmp_path / "a.png").write_bytes(b"broken")
    (tmp_path / "b.png").write_bytes(b"broken")
    with pytest.raises(UsageError) as error:
        load("folder", path=tmp_path)
    said = str(error.value)
    assert said.startswith(f"left out 2 of the 2 images in {tmp_path}, which cannot be read:")
    assert "\n  b.png: cannot identify image file" in said
    assert said.endswith("none is left; correct the path")
    assert not list((cache / "folder").iterdir())


def test_an_empty_and_a_missing_folder_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty holds no images \(.png, .jpg, .*\); correct the path"):
        load("folder", path=tmp_path / "empty")
    with pytest.raises(
        UsageError, match=r"there is no folder, zip or TIFF 'lost' .looked for lost, .*correct the path"
    ):
        load("folder", path="lost")


def test_two_images_are_too_few(tmp_path):
    for number in range(2):
        paint(tmp_path / "few" / f"{number}.png", number)
    with pytest.raises(UsageError, match="train split needs 1 images, 0 of 2 are left"):
        load("folder", path=tmp_path / "few")


def test_a_relative_path_is_also_looked_for_in_the_data_directory(folder):
    assert len(load("folder", folder.parent, path="pictures").train) == 16


def test_an_image_of_another_size_is_refused_with_the_fix(folder, cache):
    paint(folder / "large.png", 0, size=(12, 9))
    with pytest.raises(UsageError) as error:
        load("folder", path=folder)
    said = str(error.value)
    assert "large.png" in said
    assert "9×12" in said and "8×6" in said
    assert "bring all images to one size with data.size, for example" in said
    assert not list(cache.rglob("*.npy"))


def test_size_takes_the_central_square_of_each_image(tmp_path):
    for number, (width, height) in enumerate([(30, 10), (10, 30), (20, 20), (10, 10)]):
        pixels = np.zeros((height, width), np.uint8)
        top, left, side = (
            (height - min(width, height)) // 2,
            (width - min(width, height)) // 2,
            min(width, height),
        )
        pixels[top : top + side, left : left + side] = 100 + number
        (tmp_path / "sets").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "sets" / f"{number}.png")
    data = load("folder", path=tmp_path / "sets", size=10, channels=1)
    assert data.x_shape == (1, 10, 10)
    images = torch.cat([data.train.images, data.valid.images, data.test.images])
    assert sorted(image.unique().tolist() for image in images[:, 0, 3:7, 3:7]) == [[100], [101], [102], [103]]


def test_common_options_shape_the_array_on_the_disk(folder):
    data = load("folder", path=folder, crop=4, resize=5, pad=1)
    assert data.x_shape == (1, 7, 7)
    assert data.train.images[:, :, 0].sum() == 0
    with pytest.raises(UsageError, match=r"\d+.png: crop 7 is larger than images of 8×6"):
        load("folder", path=folder, crop=7)


def test_images_can_be_binarised(folder):
    data = load("folder", path=folder, binarise="fixed")
    assert set(data.train.images.unique().tolist()) <= {0, 255}


def test_a_damaged_cache_is_named(folder, cache):
    load("folder", path=folder)
    (array,) = (cache / "folder").glob("*.npy")
    array.write_bytes(array.read_bytes()[:-10])
    with pytest.raises(UsageError, match=f"{array.name} is truncated, damaged or another file .*delete it"):
        load("folder", path=folder)
    array.unlink()
    assert len(load("folder", path=folder).train) == 16
