import torch

from vaelab.flows.monotone import LEAST_SLOPE
from vaelab.flows.planar import Planar


def planar(w: torch.Tensor, u: torch.Tensor) -> Planar:
    layer = Planar(len(w), 0).double()
    layer.numbers.bias.data = torch.cat([w, u, torch.zeros(1)]).double()
    return layer


def test_any_parameters_keep_it_monotone_along_w():
    for _ in range(300):
        w, u = torch.randn(2, 3) * 10 ** torch.empty(2, 1).uniform_(-3, 3)
        w, u, _ = planar(w, u).constrained(None)
        assert (w * u).sum() >= LEAST_SLOPE - 1 - 1e-9


def test_it_is_the_identity_without_u_and_bounded_without_w():
    x = torch.randn(10, 3).double()
    torch.testing.assert_close(planar(torch.randn(3), torch.zeros(3))(x, None)[0], x)
    near_nothing = planar(1e-5 * torch.randn(3), torch.ones(3))
    assert near_nothing.constrained(None)[1].norm() < 2 * 3**0.5


def test_it_moves_along_u_alone():
    layer, x = planar(torch.randn(3), torch.randn(3)), torch.randn(10, 3).double()
    _, u, _ = layer.constrained(None)
    moved = layer(x, None)[0] - x
    torch.testing.assert_close(moved, (moved @ u / u.square().sum())[:, None] * u)
