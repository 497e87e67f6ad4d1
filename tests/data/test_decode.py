"""Pixels of image files in every mode, depth and orientation."""

import numpy as np
import pytest
from PIL import Image

from vaelab.data import decode


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode, value", [("L", 90), ("RGB", 90), ("RGBA", 90), ("P", 90), ("1", 255), ("LA", 90)])
def test_every_mode_becomes_grey_or_colour(tmp_path, mode, value, channels):
    image = Image.new("L", (4, 3), value)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(tmp_path / "a.png")
    pixels = decode.decode(tmp_path / "a.png", channels)
    assert pixels.shape == (channels, 3, 4)
    assert np.unique(pixels).tolist() == [value]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert np.array_equal(decode.decode(tmp_path / "deep.png", 1)[0], levels // 257)


def test_rotation_marks_are_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert decode.decode(tmp_path / "turned.jpg", 3).shape == (3, 8, 4)
