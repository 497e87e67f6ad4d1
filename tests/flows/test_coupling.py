import pytest
import torch
from torch import nn

from vaelab.errors import UsageError
from vaelab.registry.schema import build

KINDS = pytest.mark.parametrize("kind", ["coupling", "spline"])


def built(kind: str, **given) -> nn.Module:
    return build("flow", {"kind": kind, "width": 16, **given}, latent_dim=7)


@torch.no_grad()
@KINDS
def test_one_layer_moves_half_of_the_latents_and_two_all(kind):
    u = torch.randn(20, 7)
    moved = [(built(kind, layers=n)()(u) != u).any(0).sum().item() for n in (1, 2, 3)]
    assert moved == [4, 7, 7]


@KINDS
def test_every_second_layer_draws_a_new_permutation(kind):
    orders = [layer.permutation for layer in built(kind, layers=4).layers]
    for first, second in (orders[:2], orders[2:]):
        assert torch.equal(first.flip(0), second)
    assert not torch.equal(orders[0], orders[2])


@torch.no_grad()
@KINDS
def test_one_network_evaluation_per_layer_in_both_directions(kind):
    flow, calls = built(kind, layers=1), []
    flow.layers[0].network.register_forward_hook(lambda *_: calls.append(1))
    for transform in (flow(), flow().inv):
        calls.clear()
        transform.call_and_ladj(torch.randn(2, 7))
        assert len(calls) == 1


def test_a_spline_needs_two_pieces():
    with pytest.raises(UsageError, match="set bins to 2 or more"):
        built("spline", bins=1)


@torch.no_grad()
def test_a_spline_is_the_identity_beyond_its_bound():
    transform = built("spline", bound=2.0, bins=3)()
    inside, beyond = 2 * torch.rand(20, 7) - 1, 2 + torch.rand(20, 7)
    z, ladj = transform.call_and_ladj(beyond)
    torch.testing.assert_close(z, beyond)
    assert not ladj.any()
    assert transform.call_and_ladj(inside)[1].all()
