import torch
from torch import Tensor

from vaelab.nn.reflections import reflect
from vaelab.registry.schema import build


def matrix(v: Tensor) -> Tensor:
    """H_n ⋯ H_1 of normals v [n, D], written out."""
    identity = product = torch.eye(v.shape[-1]).double()
    for one in v:
        product = (identity - 2 * torch.outer(one, one) / one.square().sum()) @ product
    return product


def test_reflect_is_the_product_of_reflections():
    v, x = torch.randn(3, 4).double(), torch.randn(5, 4).double()
    torch.testing.assert_close(reflect(x, v), x @ matrix(v).T)
    torch.testing.assert_close(reflect(reflect(x, v), v.flip(-2)), x)


def test_lengths_are_kept_whatever_the_context():
    flow, u = build("flow", {"kind": "householder", "context": 2}, latent_dim=4), torch.randn(7, 3, 4)
    z, ladj = flow(10 * torch.randn(3, 2)).call_and_ladj(u)
    torch.testing.assert_close(z.norm(dim=-1), u.norm(dim=-1))
    assert not ladj.any()
