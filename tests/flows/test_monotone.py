import pytest
import torch

from vaelab.flows.monotone import LEAST_SLOPE, root


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_root_is_found_to_precision_however_steep_or_flat(dtype):
    y, k = (10 * torch.randn(5000, dtype=dtype) for _ in range(2))
    q = torch.randn(5000, dtype=dtype).exp() * torch.randn(5000, dtype=dtype).sign()
    product = torch.cat([torch.full((2500,), LEAST_SLOPE - 1), 100 * torch.rand(2500)]).to(dtype)
    p = product / q
    x = root(y, p, q, k)
    h = torch.tanh(q * x + k)
    unit = torch.finfo(dtype).eps * (1 + x.abs() + p.abs() * (1 + k.abs()))  # one rounding of the terms below
    assert ((x + p * h - y).abs() <= 10 * unit).all()


def test_root_has_the_derivatives_of_the_implicit_function():
    y, p, k = (torch.randn(6).double().requires_grad_() for _ in range(3))
    q = (0.9 * p.detach().sign() * torch.rand(6)).double().requires_grad_()
    assert torch.autograd.gradcheck(root, (y, p, q, k))
    assert torch.autograd.gradgradcheck(root, (y, p, q, k))


def test_gradients_of_what_was_broadcast_are_sums():
    y, p = torch.randn(5, 3).double().requires_grad_(), torch.rand(3).double().requires_grad_()
    q, k = torch.ones(()).double().requires_grad_(), torch.randn(5, 1).double().requires_grad_()
    assert torch.autograd.gradcheck(root, (y, p, q, k))


def test_root_broadcasts():
    y, p = torch.randn(5, 3), torch.rand(3)
    x = root(y, p, torch.ones(()), torch.zeros(3))
    torch.testing.assert_close(x + p * torch.tanh(x), y)
