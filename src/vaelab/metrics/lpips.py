"""How far reconstructions are from their images as people see them."""

from typing import Literal

import torch

from vaelab.data.source import Split
from vaelab.errors import NotApplicable, VaelabError
from vaelab.features.lpips import LPIPS, RESIZE
from vaelab.features.networks import refuse_channels
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE, device_of
from vaelab.registry import register

ROWS = 50  # images in a batch; the features of one take up to 2 MB
ABOUT = About("LPIPS", {"lpips": Value("LPIPS", "", "lower", "of reconstructions", rank=13, tile="LPIPS")}, quick=True)


@register("metric", "lpips", ABOUT)
@torch.no_grad()
def lpips(model: VAE, split: Split, *, net: Literal["squeeze", "alex", "vgg"] = "squeeze") -> Measurement:
    """The mean over images of the perceptual distance of an image and its reconstruction (Zhang et al. 2018).

    Raises NotApplicable where the weights of `net` are not to be had, or images are neither grey nor RGB.
    """
    try:
        refuse_channels(split.images.shape[1])  # before weights are looked for
        distance = LPIPS(net).to(device_of(model))
        found = [distance(x, model.reconstruct(x, y)) for x, y in batches(model, split, ROWS)]
    except VaelabError as error:
        raise NotApplicable(str(error)) from error
    network = {"name": net, "hash": distance.network.hash, "heads": distance.hash, "resize": RESIZE}
    return Measurement.over_images({"lpips": torch.cat(found)}, {"network": network})
