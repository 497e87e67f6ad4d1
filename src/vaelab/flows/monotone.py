"""The scalar equation that the inverses of planar and Sylvester flows come down to."""

import torch
from torch import Tensor

LEAST_SLOPE = 1e-3  # of the function below; a flow that keeps it can be inverted in float32
_STEPS = 16  # 12 reach the precision of float64 at the least slope, 15 at a slope of a million


def root(y: Tensor, p: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """The x with x + p·tanh(qx + k) = y, elementwise, for pq > −1; its derivatives of every order are exact."""
    return _Root.apply(y, p, q, k)  # pyright: ignore[reportReturnType]


class _Root(torch.autograd.Function):
    """The derivative is that of the implicit function, a formula of the root itself, which has derivatives in turn."""

    @staticmethod
    def forward(ctx, y: Tensor, p: Tensor, q: Tensor, k: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        x = _solved(y, p, q, k)
        ctx.save_for_backward(x, p, q, k)
        ctx.shapes = [t.shape for t in (y, p, q, k)]
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, p, q, k = ctx.saved_tensors
        h = torch.tanh(q * x + k)
        slope = p * (1 - h.square())
        of_y = gradient / (1 + q * slope)
        of_k = -of_y * slope
        return tuple(t.sum_to_size(s) for t, s in zip((of_y, -of_y * h, of_k * x, of_k), ctx.shapes, strict=True))


def _solved(y: Tensor, p: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """v = qx + k solves v + r·tanh(v) = c with r = pq and c = qy + k.

    That function is odd, and on v > 0 it is concave for r > 0 and convex for r < 0, so that Newton's steps from its
    asymptotes converge from one side and need no bracket. One more step in x has the precision of x.
    """
    r, c = p * q, q * y + k
    v = torch.maximum(c.abs() / (1 + r.clamp(min=0)), c.abs() - r)
    for _ in range(_STEPS):
        h = torch.tanh(v)
        v = v - (v + r * h - c.abs()) / (1 + r * (1 - h.square()))
    x = y - p * torch.tanh(v) * c.sign()
    h = torch.tanh(q * x + k)
    return x - (x + p * h - y) / (1 + r * (1 - h.square()))
