"""Images per second of the sharpness statistics, against a loop over pixels as seed 003's csv_analysis.py has it."""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from measure import Ratio, load_average, verdict
from vaelab.metrics.sharpness import STATISTICS, sharpness_statistics

BAR = 200.0  # times faster
LAPLACE = ((0, 1, 0), (1, -4, 1), (0, 1, 0))
SOBEL_X = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
SOBEL_Y = ((-1, -2, -1), (0, 0, 0), (1, 2, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000, help="that vaelab measures (default 50,000)")
    parser.add_argument("--looped", type=int, default=200, help="of them, that the loops measure (default 200)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    options = parser.parse_args()

    images = torch.randint(0, 256, (options.images, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    few = [_grey(image) for image in images[: options.looped].numpy()]
    ours, looped = sharpness_statistics(images), np.array([_by_loops(grey) for grey in few])
    for name, column in zip(STATISTICS, looped.T, strict=True):
        np.testing.assert_allclose(ours[name][: options.looped], column, rtol=1e-4)

    rounds = [
        (_seconds(lambda: [_by_loops(grey) for grey in few]), _seconds(lambda: sharpness_statistics(images)))
        for _ in range(options.rounds)
    ]
    print(f"32×32 colour images; {options.rounds} interleaved rounds; load average {load_average()}; the same numbers")
    for name, count, column in (("loops", options.looped, 0), ("vaelab", options.images, 1)):
        best = min(times[column] for times in rounds)
        print(f"{name:8}{count:8,} images  best {best:6.2f} s {count / best:12,.0f} images/s")
    per_image = [[times[k] / count for times in rounds] for k, count in enumerate((options.looped, options.images))]
    print(verdict(BAR, Ratio.of(*per_image)))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.tensordot((0.299, 0.587, 0.114), image, 1) / 255


def _by_loops(grey: np.ndarray) -> tuple[float, float, float]:
    """The three statistics of one image, with a double loop for every convolution."""
    gx, gy = _convolved(grey, SOBEL_X), _convolved(grey, SOBEL_Y)
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey))) ** 2
    y, x = np.ogrid[: grey.shape[0], : grey.shape[1]]
    radius = np.hypot(y - grey.shape[0] // 2, x - grey.shape[1] // 2)
    high = power[radius > 0.25 * min(grey.shape) / 2].sum() / power.sum()
    return float(_convolved(grey, LAPLACE).var()), float((gx**2 + gy**2).mean()), float(high)


def _convolved(grey: np.ndarray, kernel: tuple[tuple[int, ...], ...]) -> np.ndarray:
    padded, weights = np.pad(grey, 1, mode="reflect"), np.array(kernel, float)
    out = np.empty_like(grey)
    for i in range(grey.shape[0]):
        for j in range(grey.shape[1]):
            out[i, j] = (padded[i : i + 3, j : j + 3] * weights).sum()
    return out


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
