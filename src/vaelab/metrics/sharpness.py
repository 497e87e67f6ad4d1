"""How sharp single images are: the strength of their edges, and their power at high frequencies."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.errors import NotApplicable, UsageError
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.registry import register

STATISTICS = {
    "laplacian_variance": "Laplacian variance",
    "tenengrad": "Tenengrad",
    "high_frequency_ratio": "High-frequency ratio",
}
SUMMARIES = {
    "": "",
    "_median": ", median",
    "_p90": ", 90 % quantile",
    "_real": " of real images",
    "_ratio": " to real images",
}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's convert("L") has it, which also rounds to 8 bits
RADIUS = 0.25  # of the highest frequency along the shorter side
PIXELS = 2**17  # at a time, so that every step stays in the processor's cache


def sharpness_statistics(images: Tensor | Images) -> dict[str, Tensor]:
    """Three numbers per image [N] in float32, of images [N, C, H, W], as grey levels g in [0, 1] (see `grey`).

    - `laplacian_variance`: variance over pixels of g * [[0, 1, 0], [1, −4, 1], [0, 1, 0]] (Pech-Pacheco et al. 2000);
    - `tenengrad`: mean of Gx² + Gy², with Sobel's kernels (Krotkov 1988);
    - `high_frequency_ratio`: Σ |ĝ|² over frequencies of more than ¼ · min(H, W) / 2 cycles per image, over all Σ |ĝ|²,
      the mean grey level included; 0 for a black image.

    Beyond the border an image is mirrored, and its outermost pixels are not repeated. UsageError below 2×2 pixels.
    """
    height, width = images.shape[-2:]
    if min(height, width) < 2:
        raise UsageError(f"images of {height}×{width} pixels have no edges to measure; give 2×2 or more")
    parts = images.split(max(1, PIXELS // (height * width)))
    return dict(zip(STATISTICS, torch.cat([_measured(grey(part)) for part in parts], 1), strict=True))


def _measured(g: Tensor) -> Tensor:
    """The statistics [3, N] of grey images."""
    padded = F.pad(g[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    curved = laplacian(padded)
    variance = (curved - curved.mean((1, 2), keepdim=True)).square().mean((1, 2))  # torch's var takes 7 times as long
    return torch.stack([variance, squared_gradient(padded).mean((1, 2)), high_frequency_ratio(g)])


def grey(images: Tensor) -> Tensor:
    """uint8 or in [0, 1], [N, C, H, W] -> grey levels [N, H, W] in [0, 1]: luma of three channels, else their mean."""
    channels = images.shape[1]
    weights = torch.tensor(LUMA if channels == 3 else (1 / channels,) * channels, device=images.device)
    weights = weights if images.is_floating_point() else weights / 255
    return (weights @ images.float().flatten(2)).unflatten(1, images.shape[2:])


def laplacian(padded: Tensor) -> Tensor:
    """Second differences, of images with one more pixel on each side."""
    rows, columns = padded[:, :, 1:-1], padded[:, 1:-1]
    # Sums of two and of four equal numbers are exact, so that a constant image has no Laplacian.
    return (rows[:, :-2] + rows[:, 2:]) + (columns[..., :-2] + columns[..., 2:]) - 4 * rows[:, 1:-1]


def squared_gradient(padded: Tensor) -> Tensor:
    """Gx² + Gy², of images with one more pixel on each side; each kernel is a difference times (1, 2, 1)."""
    x, y = padded[..., 2:] - padded[..., :-2], padded[:, 2:] - padded[:, :-2]
    gx = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    gy = y[..., :-2] + 2 * y[..., 1:-1] + y[..., 2:]
    return gx.square() + gy.square()


def high_frequency_ratio(g: Tensor) -> Tensor:
    """Share of the power beyond the radius, from the half of the spectrum that a real image has."""
    height, width = g.shape[-2:]
    u, v = torch.fft.fftfreq(height, 1 / height)[:, None], torch.fft.rfftfreq(width, 1 / width)
    once = (v == 0) | (v == width / 2)  # every other column stands for its mirror image, too
    every = torch.where(once, 1.0, 2.0).expand(height, -1)
    beyond = every * (u.square() + v.square() > (RADIUS * min(height, width) / 2) ** 2)
    power = torch.view_as_real(torch.fft.rfft2(g)).square().flatten(1)  # of real and imaginary parts in turn
    high, total = (power @ torch.stack([beyond, every]).flatten(1).repeat_interleave(2, 1).T.to(g.device)).T
    return high / total.clamp(min=torch.finfo(g.dtype).tiny)


ABOUT = About(
    "Sharpness",
    {
        f"{name}{suffix}": Value(f"{title}{of}", better=1.0 if suffix == "_ratio" else None)
        for name, title in STATISTICS.items()
        for suffix, of in SUMMARIES.items()
    },
)


@register("metric", "sharpness", ABOUT)
def sharpness(split: Split, fake: Tensor) -> Measurement:
    """Mean, median and 90 % quantile of `sharpness_statistics` over generated images, beside the mean of real ones.

    `…_ratio` is the mean over that of the real images: below 1 the generated ones are smoother than they should be.
    Of images that are neither grey nor in colour it is that of the mean over the channels.
    """
    if fake.shape[1:] != split.images.shape[1:]:
        sizes = ["×".join(map(str, x.shape[1:])) for x in (fake, split.images)]
        raise NotApplicable(
            f"sharpness depends on size: generated images are {sizes[0]}, real ones {sizes[1]}; fit them"
        )
    made, real = sharpness_statistics(fake), sharpness_statistics(split.images)
    if flat := [name for name, column in real.items() if not column.any()]:
        raise NotApplicable(f"the real images have no {flat[0]} to compare with; judge on images that are not blank")
    columns = made | {f"{name}_real": column for name, column in real.items()}
    means = "ITU-R 601 luma" if fake.shape[1] in (1, 3) else "mean over channels"
    found = Measurement.over_images(columns, {"grey": means, "border": "mirrored"})
    for name, column in made.items():
        median, p90 = column.double().quantile(column.new_tensor([0.5, 0.9]).double()).tolist()
        ratio = found.values[name] / found.values[f"{name}_real"]
        found.values.update({f"{name}_median": median, f"{name}_p90": p90, f"{name}_ratio": ratio})
    return found
