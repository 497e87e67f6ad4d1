"""The flow of CrossVampVAE at its published size: a coupling, which the published one is not."""

import pytest
import torch
from torch import Tensor, nn

from vaelab.errors import UsageError
from vaelab.registry.schema import build

LATENT_DIM = 128
PUBLISHED = {"layers": 8, "tokens": 8, "width": 128, "heads": 4, "depth": 2}
NARROW = {"layers": 8, "tokens": 8, "width": 32, "heads": 4, "depth": 1}  # trains in seconds


def built(**given) -> nn.Module:
    return build("flow", {"kind": "cross_attention", **given}, latent_dim=LATENT_DIM)


def check(flow: nn.Module, x: Tensor) -> None:
    """Log-determinant of the full Jacobian at one vector [D], and round trip of all of x [N, D]."""
    flow, x = flow.double(), x.double()
    copies = x[0].expand(LATENT_DIM, -1).clone().requires_grad_()
    for transform in (flow(), flow().inv):
        y, ladj = transform.call_and_ladj(copies)
        (jacobian,) = torch.autograd.grad(y, copies, torch.eye(LATENT_DIM).double())
        assert abs(ladj[0] - torch.linalg.slogdet(jacobian).logabsdet) <= 1e-8
        with torch.no_grad():
            assert (transform.inv(transform(x)) - x).abs().max() <= 1e-8


def scales(flow: nn.Module) -> Tensor:
    return torch.stack([net.scale for layer in flow.layers for net in (layer.of_a, layer.of_b)])


def test_published_size_is_the_default_and_invertible():
    flow = built(**PUBLISHED)
    torch.manual_seed(0)
    assert built().state_dict().keys() == flow.state_dict().keys()
    check(flow, torch.randn(10, LATENT_DIM))
    assert scales(flow).all()


def test_scales_are_alive_at_the_first_step():
    """Each row of each last layer, of which half were dead for ever in the published one."""
    flow = built(**NARROW)
    z, ladj = flow().call_and_ladj(torch.randn(20, LATENT_DIM))
    (z.square().sum() - ladj.sum()).backward()
    assert all(
        net.scale.grad and net.last.weight.grad.any(1).all()
        for layer in flow.layers
        for net in (layer.of_a, layer.of_b)
    )


def test_trained_it_still_is():
    """40 steps of maximum likelihood on two correlated clusters, at the published latents and layers, but narrower."""
    flow = built(**NARROW)
    mix = torch.eye(LATENT_DIM) + 0.5 * torch.randn(LATENT_DIM, LATENT_DIM) / LATENT_DIM**0.5
    centre = torch.randn(LATENT_DIM)

    def data(n: int) -> Tensor:
        return (torch.randn(n, LATENT_DIM) + centre * torch.randn(n, 1).sign()) @ mix.T

    def nats(x: Tensor) -> Tensor:
        u, ladj = flow().inv.call_and_ladj(x)
        return u.square().sum(-1) / 2 - ladj

    before, start = nats(held_out := data(200)).mean().item(), scales(flow).detach().clone()
    optimiser = torch.optim.Adam(flow.parameters(), lr=6e-3)
    for _ in range(40):
        optimiser.zero_grad()
        nats(data(32)).mean().backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
        optimiser.step()
    assert all(p.grad is not None and p.grad.any() for p in flow.parameters())
    assert nats(held_out).mean() < before - 20
    assert (scales(flow) - start).abs().min() > 1e-3 and scales(flow).abs().min() > 1e-3
    assert flow().call_and_ladj(held_out)[1].abs().min() > 1
    check(flow, held_out)


@torch.no_grad()
def test_scale_and_shift_do_not_see_the_half_that_they_move():
    layer = built(**NARROW).layers[0]
    a, b = torch.randn(2, 64)
    moved, rest = layer.permutation[64:], layer.permutation[:64]

    def mapped(b: Tensor) -> Tensor:
        x = torch.empty(LATENT_DIM)
        x[rest], x[moved] = a, b
        return layer(x, None)[0][moved]

    s, t = layer.of_a(a, None)
    torch.testing.assert_close(mapped(b), b * s.exp() + t)
    torch.testing.assert_close(mapped(b + 1), (b + 1) * s.exp() + t)


@pytest.mark.parametrize(
    ("latent_dim", "given", "said"),
    [
        (7, {}, "latent_dim 7 has no equal halves; try 8"),
        (40, {}, "tokens 8 does not divide half of the latents, 20; try one of 1, 2, 4, 5, 10, 20"),
        (16, {"width": 10}, "heads 4 does not divide width 10; try one of 1, 2, 5, 10"),
    ],
)
def test_what_does_not_divide_is_refused_with_what_does(latent_dim, given, said):
    with pytest.raises(UsageError, match=said):
        build("flow", {"kind": "cross_attention", **given}, latent_dim=latent_dim)
