"""Images in files are the model's images: rounded, numbered, upright, and read back as they were."""

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data import load
from vaelab.data.scale import EIGHT_BIT, Scale
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
    ("value", "level"), [(0.0, 0), (1.0, 255), (0.5 / 255 - 1e-4, 0), (0.5 / 255 + 1e-4, 1), (-3.0, 0), (3.0, 255)]
)
def test_levels_are_the_nearest(tmp_path, value, level):
    export.write_images(torch.full((1, 1, 2, 2), value), tmp_path / "out")
    assert np.asarray(Image.open(tmp_path / "out" / "00000.png")).tolist() == [[level] * 2] * 2


def test_images_do_not_mix(tmp_path):
    export.write_images(torch.zeros(1, 1, 2, 2), tmp_path)
    with pytest.raises(UsageError, match="is not empty; choose a new folder, so that no images mix"):
        export.write_images(torch.zeros(1, 1, 2, 2), tmp_path)


def test_images_of_another_mode_and_orientation_are_read_as_in_training(tmp_path):
    levels = (np.arange(12) * 20).astype(np.uint8).reshape(3, 4)
    rotated = Image.fromarray(np.rot90(levels).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    rotated.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(levels).convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(levels).convert("P").save(tmp_path / "palette.png")
    paths = [tmp_path / f"{name}.png" for name in ("turned", "alpha", "palette")]
    back = export.read_images(paths, (1, 3, 4), fit=False)
    assert all(np.array_equal(image[0], levels) for image in back.numpy())
    assert export.read_images(paths, (3, 3, 4), fit=False).shape == (3, 3, 3, 4)


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


def values_of(channels: int, kind: str, count: int = 6) -> torch.Tensor:
    """Stored images with the least and the largest value that their type, or their scale, has."""
    torch.manual_seed(channels)
    if kind == "float32":
        x = torch.rand(count, channels, 5, 7)
    else:
        x = torch.randint(2 ** int(kind[4:]), (count, channels, 5, 7)).to(getattr(torch, kind))
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 1 if kind == "float32" else 2 ** int(kind[4:]) - 1
    return x


FULL = {"uint8": EIGHT_BIT, "uint16": Scale(0, 65535, "uint16"), "float32": Scale(0, 1, "float32")}


@pytest.mark.parametrize("kind", FULL)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_a_folder_of_exported_images_holds_the_stored_values(tmp_path, channels, kind):
    values, scale = values_of(channels, kind), FULL[kind]
    x = values if scale == EIGHT_BIT else scale.to_unit(values)
    assert export.write_images(x, tmp_path / "out", scale) == len(values)
    suffixes = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert suffixes == {".png" if (channels, kind) in {(1, "uint8"), (3, "uint8"), (1, "uint16")} else ".tif"}
    data = load("folder", path=str(tmp_path / "out"), test_size=1, valid_size=1)
    assert data.scale == scale and data.train.images.dtype == x.dtype
    paths = sorted((tmp_path / "out").iterdir())
    back = export.read_images(paths, values.shape[1:], fit=False, scale=scale)
    assert torch.equal(back, x)
    assert torch.equal(back if scale == EIGHT_BIT else scale.to_values(back), values)
    read = torch.cat([split.images[:] for split in (data.train, data.valid, data.test)])
    found = {image.numpy().tobytes() for image in read}
    assert found == {image.numpy().tobytes() for image in x}


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("kind", FULL)
def test_images_of_another_size_are_fitted_whatever_their_depth(tmp_path, channels, kind):
    scale, x = FULL[kind], torch.rand(1, channels, 1, 1).expand(1, channels, 12, 20)
    export.write_images(x, tmp_path / "out", scale)
    paths = sorted((tmp_path / "out").iterdir())
    with pytest.raises(UsageError, match="is 20×12, the model takes 6×5"):
        export.read_images(paths, (channels, 5, 6), fit=False, scale=scale)
    found = export.read_images(paths, (channels, 5, 6), fit=True, scale=scale)
    found = found / 255 if scale == EIGHT_BIT else found
    torch.testing.assert_close(found, x[..., :5, :6], rtol=0, atol=0.51 / 255 if kind == "uint8" else 1e-5)


def test_images_of_another_depth_or_channels_are_refused(tmp_path):
    for kind, scale in FULL.items():
        export.write_images(torch.rand(1, 1, 5, 7), tmp_path / kind, scale)
        export.write_images(torch.rand(1, 4, 5, 7), tmp_path / f"{kind}-4", scale)
    (eight,), (sixteen,), (real,) = (list((tmp_path / kind).iterdir()) for kind in FULL)
    for path, scale, has, wants in (
        (eight, FULL["uint16"], "8 bits", "16 bits"),
        (sixteen, EIGHT_BIT, "16 bits", "8 bits"),
        (real, EIGHT_BIT, "real values", "8 bits"),
    ):
        with pytest.raises(UsageError, match=f"{path.name} has {has}, the images .* {wants}; give images of"):
            export.read_images([path], (1, 5, 7), fit=True, scale=scale)
    (four,) = (tmp_path / "uint16-4").iterdir()
    with pytest.raises(UsageError, match=r"00000.tif has 4 channels, the model takes 13; give"):
        export.read_images([four], (13, 5, 7), fit=False, scale=FULL["uint16"])
    (tmp_path / "broken.tif").write_bytes(four.read_bytes()[:40])
    with pytest.raises(UsageError, match=r"cannot read the image .*broken.tif"):
        export.read_images([tmp_path / "broken.tif"], (4, 5, 7), fit=False, scale=FULL["uint16"])


@pytest.mark.parametrize("scale", [Scale(100, 4095, "uint16"), Scale(-3, 7.5, "float32", clip=False)], ids=str)
def test_samples_are_judged_as_files_would_hold_them(scale):
    x = torch.rand(3, 2, 5, 7)
    seen = export.as_stored(x, scale)
    torch.testing.assert_close(seen, x, rtol=0, atol=0.51 / 3995)
    assert torch.equal(scale.to_values(seen), scale.to_values(x))
    assert export.as_stored(x, EIGHT_BIT).dtype == torch.uint8
