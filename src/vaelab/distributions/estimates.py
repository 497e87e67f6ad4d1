"""Estimates from draws and weights."""

import math

import torch
from torch import Tensor


def kolmogorov_smirnov(x: Tensor, y: Tensor) -> Tensor:
    """sup |F_x − F_y| of the empirical distribution functions of samples [N, D] and [M, D], per dimension [D]."""
    points = torch.cat([x, y]).T.contiguous()
    f_x, f_y = (torch.searchsorted(s.T.contiguous().sort().values, points, right=True) / len(s) for s in (x, y))
    return (f_x - f_y).abs().amax(1)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log of the mean over the first dimension, in float64 on the CPU, since not every device has it."""
    return torch.logsumexp(log_w.cpu().double(), 0) - math.log(len(log_w))
