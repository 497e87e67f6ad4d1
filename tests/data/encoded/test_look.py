"""A look before decoding: sizes, depths and channels that differ are counted and named, within a second."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from vaelab.data import load
from vaelab.data.encoded import ahead
from vaelab.errors import MixedSizes, UsageError


def write(root, *groups) -> None:
    """Numbered files of (count, shape, dtype)."""
    number = 0
    for count, shape, dtype in groups:
        for _ in range(count):
            path = root / f"{number:02}.{'tif' if len(shape) > 2 else 'png'}"
            if len(shape) > 2:
                tifffile.imwrite(path, np.ones(shape, dtype), metadata={"axes": "CYX"}, photometric="minisblack")
            else:
                Image.fromarray(np.ones(shape, dtype)).save(path)
            number += 1


U8, U16 = np.uint8, np.uint16


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            [(2, (4, 6), U8), (12, (8, 6), U8)],
            "of several sizes (height × width): 12 of 8×6 (02.png, 03.png, 04.png, …), 2 of 4×6 (00.png, 01.png); "
            "bring all images to one size with data.size, for example 4",
        ),
        (
            [(9, (8, 6), U8), (3, (8, 6), U16)],
            "of several depths: 9 of 8 bits (00.png, 01.png, 02.png, …), 3 of 16 bits (09.png, 10.png, 11.png); "
            "convert all images to one depth",
        ),
        (
            [(9, (4, 8, 6), U16), (1, (5, 8, 6), U16)],
            "of several kinds: 9 of 4 channels (00.tif, 01.tif, 02.tif, …), 1 of 5 channels (09.tif); set",
        ),
        ([(9, (17, 8, 6), U8)], ".tif has 17 channels, and 16 are the most; set data.pages=images if"),
        (
            [(1, (4, n), U8) for n in range(1, 9)],
            "1 of 4×5 (04.png), and 3 more; bring",
        ),
    ],
)
def test_images_that_differ_are_counted_and_named_before_any_is_decoded(tmp_path, cache, monkeypatch, groups, said):
    write(tmp_path, *groups)
    monkeypatch.setattr(ahead, "decode_all", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UsageError) as error:
        load("folder", path=tmp_path)
    assert said in str(error.value)
    assert not list(cache.rglob("*.npy"))


def test_options_that_make_images_alike_are_heeded(tmp_path):
    write(tmp_path, (6, (10, 12), U8), (6, (8, 12), U8))
    for options in ({"size": 4}, {"crop": 8}, {"crop": 6, "resize": 4}):
        assert (
            load("folder", path=tmp_path, **options).x_shape[1:]
            == (options.get("resize", 8 if "crop" in options else 4),) * 2
        )
    with pytest.raises(MixedSizes, match=r"6 of 4×5 .*, 6 of 4×6"):
        load("folder", path=tmp_path, resize=4)


def test_a_difference_that_the_look_did_not_see_is_counted_as_well(tmp_path, monkeypatch, cache):
    write(tmp_path, (9, (8, 6), U8), (1, (9, 6), U8), (10, (8, 6), U8))
    monkeypatch.setattr("vaelab.data.encoded.look.LOOKED_AT", 1)
    with pytest.raises(MixedSizes, match=r"19 of 8×6 \(00.png, 01.png, 02.png, …\), 1 of 9×6 \(09.png\)"):
        load("folder", path=tmp_path)
    assert not list(cache.rglob("*.npy"))
