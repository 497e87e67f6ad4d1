"""Structural similarity equals scikit-image's."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from vaelab.metrics.ssim import ssim

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 28, 20), (3, 11, 17), (1, 11, 11)]


def reference(a: np.ndarray, b: np.ndarray) -> float:
    """scikit-image's, which leaves out the border that its window does not fit into."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return float(structural_similarity(a, b, channel_axis=0, **options))


@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_scikit_image(shape, noise):
    a = torch.rand(4, *shape).double()
    b = (a + noise * torch.randn(4, *shape)).clamp(0, 1).double()
    expected = torch.tensor([reference(i.numpy(), j.numpy()) for i, j in zip(a, b, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(ssim(a, b), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 8, 8), (3, 5, 9), (1, 1, 1)], ids=str)
def test_is_one_for_the_same_image_symmetric_and_less_otherwise(shape):
    a, b = torch.rand(2, 3, *shape)
    torch.testing.assert_close(ssim(a, a), torch.ones(3).double())
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    assert (ssim(a, b) < 1).all()


def test_of_flat_images_by_hand():
    """Without structure only the means are left: (2ab + c) / (a² + b² + c), c = 0.01²."""
    a, b = torch.full((1, 1, 12, 12), 0.2).double(), torch.full((1, 1, 12, 12), 0.6).double()
    expected = torch.tensor([(2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4)]).double()
    torch.testing.assert_close(ssim(a, b), expected, rtol=1e-6, atol=0)


def test_images_of_a_batch_do_not_mix():
    a, b = torch.rand(2, 5, 3, 16, 16)
    torch.testing.assert_close(ssim(a, b), torch.cat([ssim(a[i : i + 1], b[i : i + 1]) for i in range(5)]))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="ssim compares images of one shape"):
        ssim(torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 9))
