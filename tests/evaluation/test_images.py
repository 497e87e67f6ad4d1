"""Images in files are the model's images: rounded, numbered, upright, and read back as they were."""

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data.source import Split
from vaelab.errors import UsageError
from vaelab.evaluation import images as export


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_rounded_and_numbered(tmp_path, channels):
    torch.manual_seed(0)
    images = torch.rand(12, channels, 5, 7) * 1.2 - 0.1
    assert export.write_images(images, tmp_path / "deep" / "out") == 12
    paths = sorted((tmp_path / "deep" / "out").iterdir())
    assert [path.name for path in paths] == [f"{i:05d}.png" for i in range(12)]
    assert {Image.open(path).mode for path in paths} == {"L" if channels == 1 else "RGB"}
    back = export.read_images(paths, (channels, 5, 7), fit=False)
    assert back.dtype == torch.uint8 and back.is_contiguous()
    assert torch.equal(back, (images.clamp(0, 1) * 255).round().byte())


@pytest.mark.parametrize(
    ("value", "level"), [(0.0, 0), (1.0, 255), (0.5 / 255 - 1e-4, 0), (0.5 / 255 + 1e-4, 1), (-3, 0), (3, 255)]
)
def test_levels_are_the_nearest(tmp_path, value, level):
    export.write_images(torch.full((1, 1, 2, 2), value), tmp_path / "out")
    assert np.asarray(Image.open(tmp_path / "out" / "00000.png")).tolist() == [[level] * 2] * 2


def test_images_do_not_mix(tmp_path):
    export.write_images(torch.zeros(1, 1, 2, 2), tmp_path)
    with pytest.raises(UsageError, match="is not empty; choose a new folder, so that no images mix"):
        export.write_images(torch.zeros(1, 1, 2, 2), tmp_path)


def test_images_of_another_mode_depth_and_orientation_are_read_as_in_training(tmp_path):
    levels = (np.arange(12) * 20).astype(np.uint8).reshape(3, 4)
    rotated = Image.fromarray(np.rot90(levels).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    rotated.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(levels).convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(levels).convert("P").save(tmp_path / "palette.png")
    paths = [tmp_path / f"{name}.png" for name in ("turned", "deep", "alpha", "palette")]
    back = export.read_images(paths, (1, 3, 4), fit=False)
    assert all(np.array_equal(image[0], levels) for image in back.numpy())
    assert export.read_images(paths, (3, 3, 4), fit=False).shape == (4, 3, 3, 4)


def test_another_size_is_refused_or_fitted(tmp_path):
    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(
        UsageError, match=r"a.png is 30×20, the model takes 10×8; give fit=True to crop and resize them"
    ):
        export.read_images([tmp_path / "a.png"], (1, 8, 10), fit=False)
    assert (export.read_images([tmp_path / "a.png"], (1, 8, 10), fit=True) == 77).all()


@pytest.mark.parametrize("content", [None, b"", b"no picture", "truncated", "bomb"])
def test_what_is_no_image_is_named(tmp_path, content, monkeypatch):
    path = tmp_path / "a.png"
    if content in ("truncated", "bomb"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
        if content == "bomb":
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        else:
            path.write_bytes(path.read_bytes()[:500])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read the image .*a.png; name a PNG, JPEG or other image file"):
        export.read_images([path], (1, 64, 64), fit=False)


def test_reconstructions_come_in_the_order_of_the_images(linear_gaussian):
    model = linear_gaussian().requires_grad_(False)
    images = torch.randint(0, 256, (1003, 1, 2, 2), dtype=torch.uint8)
    back = export.reconstructions(model, Split(images))
    torch.testing.assert_close(back, model.reconstruct(images.double() / 255), rtol=1e-6, atol=1e-6)
