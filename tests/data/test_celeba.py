"""CelebA: what is found where, its splits, attributes and framing, and that nothing is guessed in silence."""

import io
import os
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data import load
from vaelab.errors import UsageError
from vaelab.recipe.recipe import Recipe

NAMES = ("5_o_Clock_Shadow", "Male", "Smiling")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "celeba").mkdir()
    return tmp_path / "celeba"


def face(number: int, size=(178, 218)) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", size, (number, 255 - number, 7)).save(picture, "png")
    return picture.getvalue()


def write_zip(root, count: int = 20, size=(178, 218), **others: bytes) -> None:
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for number in range(count, 0, -1):
            archive.writestr(f"img_align_celeba/{number:06}.jpg", face(number, size))
        for name, content in others.items():
            archive.writestr(f"img_align_celeba/{name}.jpg", content)


def write_folder(folder, count: int = 20) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(1, count + 1):
        (folder / f"{number:06}.png").write_bytes(face(number))


def write_partition(root, splits: list[int]) -> None:
    lines = [f"{number:06}.jpg {split}" for number, split in enumerate(splits, 1)]
    (root / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")


def write_attributes(root, count: int = 20) -> None:
    """An image is male where its number is odd and smiling where it is divisible by three."""
    signs = [[-1, 1 if n % 2 else -1, 1 if n % 3 == 0 else -1] for n in range(1, count + 1)]
    lines = [f"{n:06}.jpg " + " ".join(f"{sign:2}" for sign in row) for n, row in enumerate(signs, 1)]
    (root / "list_attr_celeba.txt").write_text("\r\n".join([str(count), " ".join(NAMES) + " ", *lines]) + "\r\n")


def numbers(data) -> list[list[int]]:
    return [split.images[:, 0, 0, 0].tolist() for split in (data.train, data.valid, data.test)]


def loaded(root, **options):
    """Without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load("celeba", root.parent, **options)


@pytest.mark.parametrize("form", ["zip", "folder", "bare"])
def test_the_official_split_is_kept_in_all_forms(root, form):
    if form == "zip":
        write_zip(root)
    else:
        write_folder(root / "img_align_celeba" if form == "folder" else root)
    write_partition(root, [2, 0, 1] * 6 + [0, 0])
    data = loaded(root, size=8)
    assert numbers(data) == [[*range(2, 18, 3), 19, 20], [*range(3, 19, 3)], [*range(1, 17, 3)]]
    assert (data.x_shape, data.train.labels, data.train.factors, data.classes) == ((3, 8, 8), None, None, None)


def test_without_a_partition_images_are_split_by_name_and_that_is_said(root):
    write_zip(root)
    for _ in range(2):  # from the cache it is said again
        with pytest.warns(UserWarning, match=r"list_eval_partition\.txt is not there, .* 20 .* 16 / 2 / 2") as said:
            data = load("celeba", root.parent, size=8, seed=5)
        assert len(said) == 1
        assert numbers(data) == [[*range(1, 17)], [17, 18], [19, 20]]


def test_faces_are_decoded_once(root, cache, monkeypatch):
    write_zip(root)
    write_partition(root, [0] * 18 + [1, 2])
    first = loaded(root, size=8, pad=1)
    assert first.x_shape == (3, 10, 10)
    assert first.train.images[:, :, 0].sum() == 0
    with monkeypatch.context() as patch:
        patch.setattr("vaelab.data.encoded.decode.open_image", lambda *_: pytest.fail("decoded again"))
        assert torch.equal(loaded(root, size=8, pad=1).train.images, first.train.images)
    write_partition(root, [0] * 16 + [1, 1, 2, 2])
    assert numbers(loaded(root, size=8))[1:] == [[17, 18], [19, 20]]
    os.utime(root / "img_align_celeba.zip", (1, 1))
    loaded(root, size=8)
    assert len(list((cache / "celeba").glob("*.npy"))) == 3


def test_attributes_are_factors_and_one_of_them_the_class(root):
    write_zip(root)
    write_partition(root, [1, 2] + [0] * 18)
    write_attributes(root)
    data = loaded(root, size=8, attribute="Smiling")
    train = torch.tensor(numbers(data)[0])
    assert (data.factor_names, data.classes) == (NAMES, ("no Smiling", "Smiling"))
    assert torch.equal(data.train.factors, torch.stack([train * 0, train % 2, (train % 3 == 0).long()], 1).float())
    assert torch.equal(data.train.labels, (train % 3 == 0).long())
    assert (data.valid.factors.tolist(), data.test.factors.tolist()) == ([[0, 1, 0]], [[0, 0, 0]])
    assert loaded(root, size=8).train.labels is None


def test_a_model_that_sees_classes_is_told_where_they_come_from(root):
    write_zip(root)
    write_partition(root, [0] * 16 + [1] * 2 + [2] * 2)
    recipe = Recipe.read("celeba-conv", ["model.condition=[encoder]"])
    with pytest.raises(UsageError, match=r"celeba has none; leave it out, or set data.attribute, such as Male$"):
        recipe.new_model(loaded(root, size=8))


def test_an_unknown_attribute_and_one_without_the_file_are_refused(root):
    write_zip(root)
    write_partition(root, [1, 2] + [0] * 18)
    with pytest.raises(UsageError, match=r"data.attribute: 'Smiling' needs .*\.txt, .* drop the option"):
        load("celeba", root.parent, attribute="Smiling")
    write_attributes(root)
    with pytest.raises(UsageError, match="unknown attribute 'Smilling'; did you mean 'Smiling'"):
        load("celeba", root.parent, attribute="Smilling")


def write_faces(root, size) -> None:
    """Three, whose red and green are the horizontal and vertical place of a pixel, from 0 to 255."""
    width, height = size
    across, down = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    pixels = (255 * np.stack([across, down, 0 * down], 2)).round().astype(np.uint8)
    for number in range(1, 4):
        Image.fromarray(pixels).save(root / f"{number:06}.png")
    write_partition(root, [0, 1, 2])


@pytest.mark.parametrize("crop", [148, 178, 100])
@pytest.mark.parametrize("size", [(178, 218), (89, 109), (356, 436)])
def test_the_square_is_central_and_counts_in_pixels_of_the_original(root, size, crop):
    write_faces(root, size)
    image = loaded(root, size=50, crop=crop).train.images[0].numpy() / 255
    for row, total in ((image[0, 25], 178), (image[1, :, 25], 218)):
        places = 0.5 + ((np.arange(50) + 0.5) / 50 - 0.5) * crop / total
        assert np.abs(row - places)[1:-1].max() < 2 / 255  # the filter is cut off at the edges


def test_the_square_of_most_papers_is_taken_by_default(root):
    write_faces(root, (178, 218))
    default, papers, whole = (loaded(root, size=8, crop=crop).train.images for crop in (None, 148, 178))
    assert torch.equal(default, papers) and not torch.equal(default, whole)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"crop": 179}, "crop 179 is larger than faces of 178×218; crop at most 178"),
        ({"resize": 32}, "resize does not apply to faces, .* set size=32 instead"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_fix(root, options, said):
    with pytest.raises(UsageError, match=said):
        load("celeba", root.parent, **options)


def test_images_that_are_no_faces_are_listed_once_and_left_out(root):
    write_zip(root, **{"000007b": face(0, (178, 178)), "000021": b"broken"})
    write_partition(root, [0] * 10 + [1] * 5 + [2] * 6)
    (root / "list_eval_partition.txt").open("a").write("000007b.jpg 0\n")
    with pytest.warns(UserWarning, match="left out 2 of the 22 images") as said:
        data = load("celeba", root.parent, size=8)
    assert numbers(data) == [[*range(1, 11)], [*range(11, 16)], [*range(16, 21)]]
    assert "000007b.jpg: 178×178 pixels, which is not the shape of an aligned face, 178×218" in str(said[0].message)
    assert "000021.jpg: cannot identify image file\n" in f"{said[0].message}\n"


@pytest.mark.parametrize(
    "text, said",
    [
        ("000001.jpg 0\n", "it does not mention img_align_celeba/000002.jpg"),
        ("000001.jpg zero\n", "list_eval_partition.txt is truncated, damaged"),
        ("", "list_eval_partition.txt is truncated, damaged"),
        ("".join(f"{n:06}.jpg 0\n" for n in range(1, 21)), "puts none of the 20 images into the valid split; get all"),
    ],
)
def test_a_partition_that_does_not_fit_is_refused(root, text, said):
    write_zip(root)
    (root / "list_eval_partition.txt").write_text(text)
    with pytest.raises(UsageError, match=said):
        load("celeba", root.parent)


@pytest.mark.parametrize("harm", ["rows", "columns", "cut"])
def test_attributes_that_do_not_fit_are_refused(root, harm):
    write_zip(root)
    write_partition(root, [1, 2] + [0] * 18)
    write_attributes(root, 12 if harm == "rows" else 20)
    path = root / "list_attr_celeba.txt"
    text = path.read_text()
    path.write_text({"rows": text, "columns": text.replace("Male", ""), "cut": text[:-3]}[harm])
    with pytest.raises(UsageError, match=r"list_attr_celeba\.txt is truncated, damaged or another file"):
        load("celeba", root.parent)


def test_a_truncated_zip_is_refused(root):
    write_zip(root)
    path = root / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UsageError, match=r"img_align_celeba\.zip is truncated, damaged or another file"):
        load("celeba", root.parent)


def test_a_missing_set_says_where_to_get_it_and_where_to_put_it(tmp_path):
    with pytest.raises(UsageError) as error:
        load("celeba", tmp_path)
    for part in ("non-commercial", "https://mmlab.ie.cuhk.edu.hk", f"into {tmp_path / 'celeba'}", "VAELAB_DATA"):
        assert part in str(error.value)


@pytest.mark.filterwarnings("ignore:.*list_eval_partition")
def test_real_celeba(real):
    data = load("celeba", real("celeba"))
    if len(data.train) + len(data.valid) + len(data.test) == 10_000:
        assert [len(s) for s in (data.train, data.valid, data.test)] == [8000, 1000, 1000]
    assert data.x_shape == (3, 64, 64)
    mean = data.train.images.float().mean(0) / 255
    face, corner = mean[:, 24:40, 24:40].mean((1, 2)), mean[:, :8, :8].mean((1, 2))
    assert face[0] > face[1] > face[2]  # skin
    assert face[0] > corner[0] + 0.1
