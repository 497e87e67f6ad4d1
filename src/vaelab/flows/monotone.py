"""The scalar equation that the inverses of planar and Sylvester flows come down to."""

import torch
from torch import Tensor

LEAST_SLOPE = 1e-3  # of the function below; a flow that keeps it can be inverted in float32
_HALVINGS = 32  # leave 2⁻³² of the bracket; from there two Newton steps reach the precision of float64


def root(y: Tensor, p: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """The x with x + p·tanh(qx + k) = y, elementwise, for pq > −1; its gradient in all four is exact.

    x lies in [y − |p|, y + |p|], which is halved without a graph; the last Newton step is taken with one, and its
    derivative at the solution is that of the implicit function.
    """
    with torch.no_grad():
        low, high = y - p.abs(), y + p.abs()
        for _ in range(_HALVINGS):
            x = (low + high) / 2
            below = x + p * torch.tanh(q * x + k) < y
            low, high = torch.where(below, x, low), torch.where(below, high, x)
        x = _newton(_newton((low + high) / 2, y, p, q, k), y, p, q, k)
    return _newton(x, y, p, q, k)


def _newton(x: Tensor, y: Tensor, p: Tensor, q: Tensor, k: Tensor) -> Tensor:
    h = torch.tanh(q * x + k)
    return x - (x + p * h - y) / (1 + p * q * (1 - h.square()))
