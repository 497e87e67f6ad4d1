"""Structural similarity of image pairs."""

import torch
import torch.nn.functional as F
from torch import Tensor

SIGMA, RADIUS = 1.5, 5
K1, K2 = 0.01, 0.03


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image [B] of a, b [B, C, H, W] in [0, 1], in float64 (Wang et al. 2004).

    An 11×11 Gaussian window of σ = 1.5, averaged over channels and the positions where the window lies within the
    image, as scikit-image has it with gaussian_weights=True and use_sample_covariance=False. On sides below 11 pixels
    the window is the largest odd square that fits.
    """
    if a.shape != b.shape:
        raise ValueError(f"ssim compares images of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = a.double(), b.double()
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similar = (2 * mean_a * mean_b + K1**2) * (2 * covariance + K2**2)
    return (similar / ((mean_a**2 + mean_b**2 + K1**2) * (var_a + var_b + K2**2))).mean((1, 2, 3))


def _blur(x: Tensor) -> Tensor:
    """Gaussian means at the positions where the whole window fits, separably."""
    radius = min(RADIUS, (min(x.shape[-2:]) - 1) // 2)
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    channels = x.shape[1]
    rows = F.conv2d(x, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
