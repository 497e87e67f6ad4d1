"""Pixels of image files in every mode, depth and orientation; and files that are no images but programs or bombs."""

import ast
import zipfile
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

import vaelab
from vaelab.data.encoded import ahead, decode
from vaelab.data.encoded.archive import open_images
from vaelab.data.encoded.files import ImageFiles
from vaelab.errors import UsageError
from vaelab.evaluation import images as export


def pixels_of(file, channels: int):
    """uint8 [C, H, W], or why the file cannot be read."""
    files = ImageFiles(["it"], lambda _: file, lambda: None)
    return next(ahead.decode_all(files, lambda it: decode.as_array(decode.read_image(it, channels))))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\n{} loop\n"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode, value", [("L", 90), ("RGB", 90), ("RGBA", 90), ("P", 90), ("1", 255), ("LA", 90)])
def test_every_mode_becomes_grey_or_colour(tmp_path, mode, value, channels):
    image = Image.new("L", (4, 3), value)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(tmp_path / "a.png")
    pixels = pixels_of(tmp_path / "a.png", channels)
    assert pixels.shape == (channels, 3, 4)
    assert np.unique(pixels).tolist() == [value]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_of_grey_are_kept(tmp_path, suffix):
    levels = np.arange(0, 65536, 97, np.uint16)[:600].reshape(20, 30)
    Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
    pixels = decode.read_pixels(tmp_path / f"a.{suffix}")
    assert pixels.dtype == np.uint16 and np.array_equal(pixels, levels[None])
    assert decode.shape_in(tmp_path / f"a.{suffix}") == (1, 20, 30, "uint16")
    assert np.array_equal(decode.read_pixels(tmp_path / f"a.{suffix}", 3), np.repeat(levels[None], 3, 0))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_of_colour_are_kept_and_opacity_is_not(tmp_path, channels):
    levels = np.random.default_rng(0).integers(0, 65536, (5, 7, channels), np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(levels))
    expected = levels.transpose(2, 0, 1)[: 1 if channels == 2 else 3]
    for file in (tmp_path / "a.png", BytesIO((tmp_path / "a.png").read_bytes())):
        assert np.array_equal(decode.read_pixels(file), expected)
        assert decode.shape_in(file) == (*expected.shape, "uint16")
    grey = decode.read_pixels(tmp_path / "a.png", 1)
    weights = np.array([0.299, 0.587, 0.114])[: len(expected)] if channels > 2 else np.ones(1)
    assert np.abs(grey[0] - np.tensordot(weights, expected, 1)).max() <= 0.5


SMALL = {
    "grey": lambda image, stream: image.convert("L").save(stream, "JPEG"),
    "colour": lambda image, stream: image.save(stream, "JPEG", quality=95),
    "colour in full": lambda image, stream: image.save(stream, "JPEG", subsampling=0),
    "progressive": lambda image, stream: image.save(stream, "JPEG", progressive=True, quality=40),
    "print": lambda image, stream: image.convert("CMYK").save(stream, "JPEG"),
    "turned": lambda image, stream: image.save(stream, "JPEG", exif=_on_its_side()),
    "large": lambda image, stream: image.resize((700, 500)).save(stream, "JPEG", quality=100),
}


def _on_its_side() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("channels", ["auto", 1, 3])
@pytest.mark.parametrize("kind", SMALL)
def test_small_jpegs_are_what_pillow_makes_of_them(tmp_path, kind, channels):
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(0, 256, (9 + seed, 8, 3), np.uint8)
        stream = BytesIO()
        SMALL[kind](Image.fromarray(noise).resize((37, 41 + seed)), stream)
        (tmp_path / "a.jpg").write_bytes(stream.getvalue())
        grey = channels == 1 or (channels == "auto" and kind == "grey")
        expected = decode.as_array(decode.read_image(tmp_path / "a.jpg", 1 if grey else 3))
        for file in (tmp_path / "a.jpg", stream):
            assert np.array_equal(decode.read_pixels(file, channels), expected)


def test_most_small_jpegs_need_no_pillow(tmp_path, monkeypatch):
    Image.new("RGB", (8, 6), (9, 8, 7)).save(tmp_path / "a.jpg")
    monkeypatch.setattr(decode, "open_image", None)
    assert decode.read_pixels(tmp_path / "a.jpg").shape == (3, 6, 8)


@pytest.mark.parametrize("broken", [slice(None, -2), slice(None, 400), slice(0, 30)])
def test_a_broken_small_jpeg_is_told_of(tmp_path, broken):
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(stream, "JPEG")
    (tmp_path / "a.jpg").write_bytes(stream.getvalue()[broken])
    with pytest.raises(OSError):
        decode.read_pixels(tmp_path / "a.jpg")


def test_real_numbers_are_kept(tmp_path):
    levels = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    Image.fromarray(levels).save(tmp_path / "a.tif")
    assert np.array_equal(decode.read_pixels(tmp_path / "a.tif"), levels[None])


@pytest.mark.parametrize("mark", range(1, 9))
def test_deep_images_are_turned_as_shallow_ones_are(tmp_path, mark):
    exif = Image.Exif()
    exif[0x0112] = mark
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(levels).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(levels.astype(np.uint16)).save(tmp_path / "b.png", exif=exif)
    shallow, deep = (decode.read_pixels(tmp_path / name) for name in ("a.png", "b.png"))
    assert np.array_equal(shallow, deep) and (shallow.dtype, deep.dtype) == (np.uint8, np.uint16)
    for name, pixels in (("a.png", shallow), ("b.png", deep)):
        assert decode.shape_in(tmp_path / name)[:3] == pixels.shape


def test_deep_images_are_cut_and_shrunk_as_shallow_ones_are(tmp_path):
    smooth = np.add.outer(np.arange(30), np.arange(40)).astype(np.uint8) * 3
    arrays = {"a.png": smooth, "b.png": smooth.astype(np.uint16), "c.tif": smooth.astype(np.float32)}
    for name, levels in arrays.items():
        Image.fromarray(levels).save(tmp_path / name)
    shallow, deep, real = (decode.read_pixels(tmp_path / name, size=(9, 6)) for name in arrays)
    assert shallow.shape == deep.shape == real.shape == (1, 6, 9)
    assert np.abs(shallow.astype(float) - real).max() <= 1
    assert np.abs(deep - real).max() <= 0.5


def test_sixteen_bits_are_scaled_where_eight_are_wanted(tmp_path):
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert np.array_equal(pixels_of(tmp_path / "deep.png", 1)[0], levels // 257)


def test_rotation_marks_are_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert pixels_of(tmp_path / "turned.jpg", 3).shape == (3, 8, 4)


def test_postscript_is_refused_and_no_process_is_started(tmp_path, monkeypatch):
    def started(*_, **__):
        pytest.fail("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    path, archive = tmp_path / "e.png", tmp_path / "e.zip"
    path.write_bytes(POSTSCRIPT)
    with zipfile.ZipFile(archive, "w") as written:
        written.write(path, "e.png")
    for file in (path, open_images(archive).open(0)):
        assert str(pixels_of(file, 3)).startswith("cannot identify image file")
    with pytest.raises(UsageError, match=r"cannot read the image .*e.png"):
        export.read_images([path], (3, 24, 24), fit=True)


def test_image_files_are_opened_in_one_place_only():
    package = Path(vaelab.__file__).parent
    openers = ("Image.open", "Image.OPEN", "imread", "ImageFile.Parser", "TiffFile", "png_decode", "jpeg_decode")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call | ast.Subscript)
        if ast.unparse(node.func if isinstance(node, ast.Call) else node.value).endswith(openers)
    }
    assert found == {
        *(f"data/encoded/{name}.py" for name in ("decode", "deep", "jpeg", "tiff")),
        "data/containers/stack.py",
    }


@pytest.mark.parametrize("limit", [20, 10])  # Pillow itself refuses from twice the limit on
@pytest.mark.filterwarnings("error")
def test_a_bomb_is_refused_before_its_pixels_are_read(tmp_path, monkeypatch, limit):
    Image.new("L", (5, 5)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 25)
    assert pixels_of(tmp_path / "a.png", 1).shape == (1, 5, 5)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert (
        pixels_of(tmp_path / "a.png", 1) == f"more than {limit} pixels, as if made to exhaust memory; make it smaller"
    )


def test_a_jpeg_is_decoded_no_finer_than_it_is_shown(tmp_path):
    across = np.linspace(0, 255, 1600).astype(np.uint8)
    Image.fromarray(np.tile(across, (1200, 1))).save(tmp_path / "a.jpg")
    sizes, arrays = [], []
    for size in (0, 50):
        image = decode.open_image(tmp_path / "a.jpg", size)
        sizes.append(image.size)
        arrays.append(decode.as_array(decode.central(decode.upright(image, 1), 50)))
    assert sizes == [(1600, 1200), (200, 150)]
    assert np.abs(arrays[0].astype(int) - arrays[1]).max() <= 1
