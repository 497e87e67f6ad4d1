"""Bounds on the log-likelihood of held-out images, at β = 1."""

import math

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.distributions import log_mean_exp
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import Measurement, averages
from vaelab.model import VAE
from vaelab.registry import Count, Size, register

ROWS = 25_000  # images × samples decoded at once


@register("metric", "likelihood")
@torch.no_grad()
def likelihood(model: VAE, split: Split, *, samples: Size = 100, seed: Count = 0) -> Measurement:
    """ELBO with its two terms and the IWAE bound with `samples` draws (Burda et al. 2016), in nats per image.

    `elbo` = `log_px` − `kl`, all over the same draws; `*_error` is the standard error over images. `bits_per_dim` is
    −iwae / (C·H·W·log 2); for a density it counts one step of 1/256 per pixel.
    """
    torch.manual_seed(seed)
    columns = torch.cat([_bounds(model, x, samples) for x in batches(model, split.images, ROWS // samples)])
    names = ("elbo", "log_px", "kl", "iwae")
    values, intervals = averages(**dict(zip(names, columns.T, strict=True)))
    bits = -values["iwae"] / math.log(2) / split.images[0].numel()
    values |= {
        f"{name}_error": (column.std(correction=0) / math.sqrt(len(columns))).item()
        for name, column in zip(names, columns.T, strict=True)
        if name in ("elbo", "iwae")
    }
    return Measurement(values | {"bits_per_dim": bits + (0.0 if is_mass(model) else 8.0)}, intervals)


def is_mass(model: VAE) -> bool:
    """Whether p(x | z) is a probability of discrete images, not a density."""
    return any(getattr(model.likelihood, name, False) for name in ("binary", "discrete"))


def _bounds(model: VAE, x: Tensor, samples: int) -> Tensor:
    """Columns elbo, log_px, kl, iwae of a batch [B, 4], in float64; draws in pieces when they are many."""
    pieces = [model(x, samples=len(k)) for k in torch.arange(samples).split(max(1, ROWS // len(x)))]
    log_px = torch.cat([p.log_px for p in pieces]).cpu().double().mean(0)
    kl = torch.cat([p.rate.expand_as(p.log_px) for p in pieces]).cpu().double().mean(0)
    iwae = log_mean_exp(torch.cat([p.log_w for p in pieces]))
    return torch.stack([log_px - kl, log_px, kl, iwae], dim=-1).cpu()
