"""TIFF files of several pages: images of their own or channels of one, as their axes or an option say."""

from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from vaelab.data import load
from vaelab.data.encoded.decode import read_pixels, shape_in
from vaelab.data.encoded.files import ImageFiles, in_folder
from vaelab.data.encoded.pages import in_pages

RANDOM = np.random.default_rng(0)


def found(root, pages="auto") -> dict[str, np.ndarray]:
    """What each image is, by its name; the same from streams, and of the shape that is told by its head."""
    files = in_folder(root)
    streams = ImageFiles(files.names, lambda i: BytesIO(files.open(i).read_bytes()), files.stamp)
    arrays = []
    for source in (files, streams):
        paged = in_pages(source, pages)
        arrays.append({name: read_pixels(paged.open(i)) for i, name in enumerate(paged.names)})
        for i, name in enumerate(paged.names):
            shape = shape_in(paged.open(i))
            assert shape == (*arrays[-1][name].shape, arrays[-1][name].dtype.name)
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0] | arrays[1])
    return arrays[0]


def levels(*shape, dtype=np.uint16) -> np.ndarray:
    return RANDOM.integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pages_without_a_meaning_are_images(tmp_path, dtype, compression):
    stack = levels(5, 6, 8, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", compression=compression)
    images = found(tmp_path)
    assert list(images) == [f"a.tif#{i}" for i in range(5)]
    for i in range(5):
        assert np.array_equal(images[f"a.tif#{i}"], stack[i : i + 1]) and images[f"a.tif#{i}"].dtype == dtype
    (whole,) = found(tmp_path, "channels").values()
    assert np.array_equal(whole, stack)


@pytest.mark.parametrize("kind", ["ome", "imagej", "plain"])
def test_axes_tell_channels_from_images(tmp_path, kind):
    stack = levels(2, 3, 4, 6, 8)
    how = {"ome": {"ome": True}, "imagej": {"imagej": True}, "plain": {"compression": "deflate"}}[kind]
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "TZCYX"}, photometric="minisblack", **how)
    images = list(found(tmp_path).values())
    assert np.array_equal(np.stack(images), stack.reshape(6, 4, 6, 8))
    assert len(found(tmp_path, "images")) == 24
    assert [image.shape for image in found(tmp_path, "channels").values()] == [(24, 6, 8)]


def test_channels_before_images_are_gathered(tmp_path):
    stack = levels(4, 3, 6, 8)
    axes = {"metadata": {"axes": "CZYX"}, "photometric": "minisblack", "compression": "deflate"}
    tifffile.imwrite(tmp_path / "a.tif", stack, **axes)
    assert np.array_equal(np.stack(list(found(tmp_path).values())), stack.swapaxes(0, 1))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_are_channels_and_opacity_is_none(tmp_path, planar):
    many, colours = levels(4, 6, 8), levels(4, 6, 8)
    order = (1, 2, 0) if planar == "contig" else (0, 1, 2)
    tifffile.imwrite(tmp_path / "a.tif", many.transpose(order), photometric="minisblack", planarconfig=planar)
    tifffile.imwrite(tmp_path / "b.tif", colours.transpose(order), photometric="rgb", planarconfig=planar)
    images = found(tmp_path)
    assert np.array_equal(images["a.tif"], many)
    assert np.array_equal(images["b.tif"], colours[:3])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float16, np.float64])
def test_other_numbers_become_float32(tmp_path, dtype):
    array = (levels(6, 8, dtype=np.int16) - 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array)
    (image,) = found(tmp_path).values()
    assert image.dtype == np.float32 and np.array_equal(image[0], array)


def test_plain_files_stay_what_they_are(tmp_path):
    Image.fromarray(levels(6, 8, dtype=np.uint8)).save(tmp_path / "a.tif")
    Image.new("RGB", (8, 6), (1, 2, 3)).save(tmp_path / "b.tif", compression="tiff_lzw")
    (tmp_path / "c.tif").write_bytes(b"II*\0broken")
    files = in_pages(in_folder(tmp_path), "auto")
    assert files.names == ["a.tif", "b.tif", "c.tif"]
    assert all(files.open(i) == tmp_path / name for i, name in enumerate(files.names))


def test_a_stack_is_a_set(tmp_path):
    stack = levels(30, 6, 8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert load("folder", path=tmp_path / "a.tif").summary == load("folder", path=tmp_path).summary
    data = load("folder", path=tmp_path)
    assert data.summary.startswith("30 16-bit grey images of 6 × 8, split by seed")
    images = np.concatenate([data.scale.to_values(s.images[:]).numpy() for s in (data.train, data.valid, data.test)])
    assert sorted(image.tolist() for image in images[:, 0]) == sorted(image.tolist() for image in stack)


def test_a_bomb_is_refused_before_its_pixels_are_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", levels(4, 6, 8), photometric="minisblack", compression="deflate")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47)
    with pytest.raises(ValueError, match="more than 47 pixels, as if made to exhaust memory; make it smaller"):
        read_pixels(in_pages(in_folder(tmp_path), "auto").open(2))
