"""How well images come back from the mean of their posterior."""

import torch

from vaelab.data.source import Split
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.metrics.ssim import ssim
from vaelab.model import VAE
from vaelab.registry import register

ABOUT = About(
    "Reconstruction",
    {
        "mse": Value("Squared error per pixel", better="lower"),
        "psnr": Value("PSNR", "dB", "higher", "of reconstructions", rank=7),
        "ssim": Value("SSIM", "", "higher", "of reconstructions", rank=15),
    },
    quick=True,
)


@register("metric", "reconstruction", ABOUT)
@torch.no_grad()
def reconstruction(model: VAE, split: Split) -> Measurement:
    """Means over images of the squared error per pixel (`mse`), of `psnr` = −10 log₁₀ mse in dB, and of `ssim`.

    Images in [0, 1]; `reconstruct` decodes the posterior's mean and shows the mean of the likelihood.
    """
    errors, similarities = [], []
    for x, y in batches(model, split):
        back, x = model.reconstruct(x, y).cpu(), x.cpu()  # float64 is not on every device
        errors.append((x.double() - back.double()).square().mean((1, 2, 3)))
        similarities.append(ssim(x, back))
    mse = torch.cat(errors)
    psnr = -10 * mse.clamp(min=1e-12).log10()  # a perfect image counts 120 dB, not infinity
    return Measurement.over_images({"mse": mse, "psnr": psnr, "ssim": torch.cat(similarities)})
