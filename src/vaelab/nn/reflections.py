"""Products of reflections, and the vectors that they begin with."""

import torch
import torch.nn.functional as F
from torch import Tensor


def reflect(x: Tensor, v: Tensor) -> Tensor:
    """H_n ⋯ H_1 x with H = I − 2vvᵀ/‖v‖², for x [..., D] and v [..., n, D]; with v reversed, its inverse."""
    for normal in F.normalize(v, dim=-1).unbind(-2):
        x = x - 2 * normal * (normal * x).sum(-1, keepdim=True)
    return x


def normals(reflections: int, latent_dim: int) -> Tensor:
    """Vectors [reflections, D] to begin with: alike in pairs, so that each pair's product is near the identity."""
    pairs = torch.randn((reflections + 1) // 2, latent_dim).repeat_interleave(2, 0)[:reflections]
    return pairs + 0.05 * torch.randn(reflections, latent_dim)
