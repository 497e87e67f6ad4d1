"""Sharpness statistics equal their definitions, written out with scipy and numpy, and order images by blur."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from vaelab.data.source import Split
from vaelab.errors import NotApplicable, UsageError
from vaelab.metrics import sharpness as module
from vaelab.metrics.sharpness import STATISTICS, sharpness, sharpness_statistics


def reference(image: np.ndarray) -> list[float]:
    """The statistics of one uint8 image [C, H, W], in float64 and one step at a time."""
    grey = (image[0] if len(image) == 1 else np.tensordot([0.299, 0.587, 0.114], image, 1)) / 255
    laplacian = ndimage.convolve(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]], mode="mirror")
    gx, gy = (ndimage.sobel(grey, axis, mode="mirror") for axis in (1, 0))
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey))) ** 2
    y, x = np.indices(grey.shape)
    radius = np.hypot(y - grey.shape[0] // 2, x - grey.shape[1] // 2)
    high = power[radius > 0.25 * min(grey.shape) / 2].sum()
    return [laplacian.var(), (gx**2 + gy**2).mean(), high / power.sum()]


def smooth_images(count: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Blurred noise over the whole range of levels, blurred more from image to image."""
    noise = np.random.default_rng(seed).normal(size=(count, *shape))
    fields = np.stack(
        [ndimage.gaussian_filter(n, (0, s, s)) for n, s in zip(noise, np.linspace(0.3, 2, count), strict=True)]
    )
    low, high = fields.min((1, 2, 3), keepdims=True), fields.max((1, 2, 3), keepdims=True)
    return torch.from_numpy(((fields - low) / (high - low) * 255).round().astype(np.uint8))


def table(images: torch.Tensor) -> np.ndarray:
    return torch.stack(list(sharpness_statistics(images).values()), 1).numpy()


@pytest.mark.parametrize(
    "shape", [(1, 32, 32), (3, 32, 32), (1, 28, 20), (3, 9, 15), (1, 2, 2), (1, 2, 7), (3, 64, 48)]
)
def test_they_equal_their_definitions(shape):
    images = smooth_images(7, shape)
    np.testing.assert_allclose(table(images), [reference(image) for image in images.numpy()], rtol=1e-5, atol=1e-7)


def test_real_images_too(real):
    from vaelab.data import load

    images = load("mnist", real("mnist")).test.images[:50]
    np.testing.assert_allclose(table(images), [reference(image) for image in images.numpy()], rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_a_constant_image_has_none(channels, level):
    found = table(torch.full((2, channels, 32, 32), level, dtype=torch.uint8))
    assert (found[:, :2] == 0).all()
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-12)


def test_a_checkerboard_has_curvature_but_no_gradient():
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 255
    laplacian, tenengrad, high = table(board.byte().expand(1, 1, 8, 8))[0]
    assert laplacian == pytest.approx(16)  # ±4 everywhere
    assert tenengrad == 0  # the pixels on both sides are alike
    assert high == pytest.approx(0.5)  # half of the power is the mean


def test_a_step_by_hand():
    step = torch.tensor([0, 0, 255, 255]).byte().expand(1, 1, 4, 4)
    laplacian, tenengrad, _ = table(step)[0]
    assert laplacian == pytest.approx(0.5)  # 0, 1, −1, 0 in every row
    assert tenengrad == pytest.approx(8)  # Gx 0, 4, 4, 0


def test_grey_images_in_colour_are_grey():
    images = smooth_images(5, (1, 16, 16))
    np.testing.assert_allclose(table(images.expand(-1, 3, -1, -1)), table(images), rtol=1e-5)


def test_images_are_measured_alone(monkeypatch):
    images = smooth_images(20, (3, 16, 16))
    together = table(images)
    monkeypatch.setattr(module, "PIXELS", 600)  # two images at a time
    np.testing.assert_allclose(table(images), together, rtol=1e-5)
    assert all(row.dtype == torch.float32 and row.shape == (20,) for row in sharpness_statistics(images).values())


def test_blur_lowers_all():
    noise = np.random.default_rng(0).uniform(0, 255, (32, 32))
    images = np.stack([ndimage.gaussian_filter(noise, sigma) for sigma in (0, 0.5, 1, 2)]).astype(np.uint8)
    assert (np.diff(table(torch.from_numpy(images)[:, None]), axis=0) < 0).all()


def test_less_than_two_pixels_are_refused():
    with pytest.raises(UsageError, match="images of 1×5 pixels have no edges to measure; give 2×2 or more"):
        sharpness_statistics(torch.zeros(1, 1, 1, 5).byte())


def test_the_metric_sets_samples_beside_real_images():
    real, fake = smooth_images(60, (1, 16, 16)), smooth_images(40, (1, 16, 16), seed=1)
    found = sharpness(Split(real), fake)
    for name in STATISTICS:
        column = sharpness_statistics(fake)[name].double().numpy()
        assert found.values[name] == pytest.approx(column.mean())
        assert found.values[f"{name}_median"] == pytest.approx(np.median(column))
        assert found.values[f"{name}_p90"] == pytest.approx(np.quantile(column, 0.9))
        assert found.values[f"{name}_ratio"] == pytest.approx(found.values[name] / found.values[f"{name}_real"])
        for key in (name, f"{name}_real"):
            low, high = found.intervals[key]
            assert low < found.values[key] < high


def test_the_metric_says_what_cannot_be_compared():
    images = smooth_images(9, (1, 16, 16))
    with pytest.raises(NotApplicable, match="depends on size: generated images are 1×8×16, real ones 1×16×16; fit"):
        sharpness(Split(images), images[:, :, :8])
    with pytest.raises(NotApplicable, match="the real images have no laplacian_variance to compare with"):
        sharpness(Split(torch.zeros_like(images)), images)
