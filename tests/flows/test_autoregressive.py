import pytest
import torch
from torch import nn

from vaelab.registry.schema import build

LATENT_DIM = 5


def built(kind: str, **given) -> nn.Module:
    return build("flow", {"kind": kind, "width": 16, **given}, latent_dim=LATENT_DIM)


@pytest.mark.parametrize("kind", ["iaf", "maf"])
def test_no_latent_depends_on_those_that_come_after_it(kind):
    transform = built(kind, layers=1)()
    jacobian = torch.autograd.functional.jacobian(transform, torch.randn(LATENT_DIM))
    torch.testing.assert_close(jacobian, jacobian.tril())
    assert (jacobian.tril() != 0).sum() == LATENT_DIM * (LATENT_DIM + 1) / 2


@pytest.mark.parametrize("kind", ["iaf", "maf"])
def test_the_next_layer_reverses_the_order(kind):
    jacobian = torch.autograd.functional.jacobian(built(kind, layers=2)(), torch.randn(LATENT_DIM))
    assert (jacobian != 0).all()


@torch.no_grad()
@pytest.mark.parametrize(("kind", "fast"), [("iaf", "call"), ("maf", "inverse")])
def test_one_evaluation_in_the_fast_direction_and_one_per_latent_in_the_other(kind, fast):
    flow, calls = built(kind, layers=1), []
    flow.layers[0].network.register_forward_hook(lambda *_: calls.append(1))
    for direction, transform in (("call", flow()), ("inverse", flow().inv)):
        calls.clear()
        transform.call_and_ladj(torch.randn(2, LATENT_DIM))
        assert len(calls) == (1 if direction == fast else LATENT_DIM)


@torch.no_grad()
def test_steep_scales_over_many_latents_do_not_overflow_on_the_way_back():
    flow = build("flow", {"kind": "iaf", "layers": 1, "width": 64}, latent_dim=128)
    for parameter in flow.layers[0].network[-1].parameters():
        parameter *= 300
    z = 10 * torch.randn(20, 128)
    u, ladj = flow().inv.call_and_ladj(z)
    assert u.isfinite().all()
    assert ladj.abs().max() > 100
