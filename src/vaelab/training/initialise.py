"""What a new model takes from the training images before it learns."""

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.errors import UsageError
from vaelab.model import VAE

SEEN, TOGETHER = 5000, 500  # images whose mean is taken, and of these so many at once


def initialise(model: VAE, split: Split, seed: int, output_bias: str) -> None:
    """Let a prior begin with images, and with `output_bias` of `data` the decoder with their mean."""
    model.prior.initialise(split, seed)
    if output_bias == "data" and model.likelihood.autoregressive:
        raise UsageError("the decoder below a pixel likelihood draws no image of its own; leave out model.output_bias")
    if output_bias == "data" and model.growth:
        raise UsageError("the pictures of a growing model have a bias for each stage; leave out model.output_bias")
    if output_bias == "data":
        initialise_bias(model, split.images)


def mean_image(images: Tensor | Images) -> Tensor:
    """The mean x [C, H, W] of SEEN images at most, evenly spaced."""
    rows = torch.arange(0, len(images), -(-len(images) // SEEN))
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    for part in rows.split(TOGETHER):
        total += images[part].sum(0, dtype=torch.float64)
    mean = total.float() / len(rows)
    return mean if images.dtype.is_floating_point else mean / 255


@torch.no_grad()
def initialise_bias(model: VAE, images: Tensor | Images) -> None:
    """Set the decoder's last bias so that pictures begin near the mean of the images (Burda et al. 2016, their code).

    Of images [N, C, H, W]: pixel by pixel where the last layer has a bias for each, else channel by channel.
    From a grey start, images with a dark background can drive a decoder into the flat part of the sigmoid, where
    nothing is learned any more; under a VampPrior no KL term holds the latents back from it.
    """
    mean = mean_image(images)
    bias = [p for name, p in model.decoder.named_parameters() if name.rpartition(".")[2] == "bias"][-1]
    value = mean.flatten() if bias.numel() >= mean.numel() else mean.mean((1, 2))
    bias[: len(value)] = model.likelihood.output_near(value)  # what follows, such as scales, stays as it is
