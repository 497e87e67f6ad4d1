"""A growing backbone in which each stage adds to the enlarged image of the one before: a Laplacian pyramid."""

from typing import Literal

from torch import nn

from vaelab.nn.activation import Shape
from vaelab.nn.growth import grown
from vaelab.nn.pyramid import PyramidDecoder, PyramidEncoder
from vaelab.registry import Fraction, Size, register


@register("backbone", "progressive_residual", about="growing convolutional networks, a level of latents for each stage")
def progressive_residual(
    x_shape: Shape,
    latent_dim: int,
    out_channels: int,
    levels: tuple[int, ...] = (),
    steps_per_epoch: float = 1,
    every_stage: bool = False,
    *,
    start_res: Size = 4,
    final_res: Size | None = None,
    base_channels: Size = 128,
    min_channels: Size = 16,
    epochs_per_stage: Size = 10,
    fadein_ratio: Fraction = 0.5,
    stage_weight: Literal["area", "one"] = "area",
) -> tuple[nn.Module, nn.Module]:
    """As `progressive`, but each stage has latents of its own and explains what the stages before left (ResProVAE).

    J1angYu's network as one hierarchical model: takes `latent_dim: [first, …, last]`, one size for each stage, and the
    posterior `residual`. p(x | z) is the likelihood of the sum of all stages' pictures, so that the ELBO is a bound;
    the original's sum of losses is the likelihood `pyramid`.
    """
    growth = grown(x_shape, start_res, final_res, epochs_per_stage, steps_per_epoch, fadein_ratio)
    if len(levels) != growth.stages:
        raise ValueError(
            f"there is a latent for each of its {growth.stages} stages; set "
            f"model.latent_dim={[levels[0] if levels else latent_dim] * growth.stages}"
        )
    if latent_dim != sum(levels):
        raise ValueError("its stages see no class; leave encoder and decoder out of model.condition")
    widths = [max(base_channels >> stage, min_channels) for stage in range(growth.stages)]
    channels = x_shape[0] if every_stage else out_channels
    decoder = PyramidDecoder(growth, levels, channels, widths, stage_weight, every_stage)
    return PyramidEncoder(growth, decoder, x_shape[0], widths), decoder
