"""The scalar equation that the inverses of planar and Sylvester flows come down to."""

import torch
from torch import Tensor

LEAST_SLOPE = 1e-3  # of the function below; a flow that keeps it can be inverted in float32
_STEPS = 16  # 12 reach the precision of float64 at the least slope, 15 at a slope of a million


def root(y: Tensor, p: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """The x with x + p·tanh(qx + k) = y, elementwise, for pq > −1; its gradient in all four is exact.

    v = qx + k solves v + r·tanh(v) = c with r = pq and c = qy + k. That function is odd, and on v > 0 it is concave
    for r > 0 and convex for r < 0, so that Newton's steps from its asymptotes converge from one side and need no
    bracket. They leave no graph; one more step in x does, and its derivative is that of the implicit function.
    """
    with torch.no_grad():
        r, c = p * q, q * y + k
        v = torch.maximum(c.abs() / (1 + r.clamp(min=0)), c.abs() - r)
        for _ in range(_STEPS):
            h = torch.tanh(v)
            v = v - (v + r * h - c.abs()) / (1 + r * (1 - h.square()))
        x = y - p * torch.tanh(v) * c.sign()
    h = torch.tanh(q * x + k)
    return x - (x + p * h - y) / (1 + p * q * (1 - h.square()))
