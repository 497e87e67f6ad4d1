"""Second derivatives of every prior, posterior and flow are those of its first: by differences, in all that it sees."""

from collections.abc import Callable, Sequence
from itertools import chain

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vaelab.registry.schema import build

DIM, BATCH, STEP = 2, 3, 1e-6
SHAPE = (1, 4, 4)
SIZES = {"x_shape": SHAPE, "latent_dim": DIM, "levels": (1, 1), "top_dim": 1}
PYRAMID = {"kind": "progressive_residual", "start_res": 2, "base_channels": 4, "min_channels": 4}


def away(module: nn.Module) -> nn.Module:
    """In float64, its parameters moved away from where they start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return module.double()


def encoder() -> nn.Module:
    return nn.Sequential(nn.Flatten(-3), nn.Linear(16, 6), nn.Tanh())


def agrees_with_differences(value: Callable[[], Tensor], leaves: Sequence[Tensor]) -> None:
    """The second derivative along a random direction in all leaves together."""
    directions = [torch.randn_like(leaf) for leaf in leaves]

    def gradients(distance: float) -> tuple[Tensor, ...]:
        """After a step of that length along the direction."""
        with torch.no_grad():
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf += distance * direction
        return torch.autograd.grad(value(), leaves, materialize_grads=True)

    first = torch.autograd.grad(value(), leaves, create_graph=True, materialize_grads=True)
    along = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
    second = torch.autograd.grad(along, leaves, materialize_grads=True)
    for found, more, less in zip(second, gradients(STEP), gradients(-2 * STEP), strict=True):
        torch.testing.assert_close(found, (more - less) / (2 * STEP), rtol=1e-5, atol=1e-5)


def points() -> Tensor:
    return torch.randn(4, BATCH, DIM, dtype=torch.float64).requires_grad_()


def test_of_a_posterior(posterior):
    network, parts = encoder(), []
    if posterior["kind"] == "residual":
        network, decoder = build("backbone", PYRAMID, out_channels=1, **SIZES)
        parts = [away(decoder)]
    module = away(build("posterior", posterior, encoder=network, **SIZES))
    x, z = torch.rand(BATCH, *SHAPE).double().requires_grad_(), points()
    learned = {id(p): p for part in (module, *parts) for p in part.parameters()}
    agrees_with_differences(lambda: module(x).log_prob(z).sin().sum(), [x, z, *learned.values()])


@pytest.mark.parametrize("shaped", [False, True], ids=["plain", "other"])
def test_of_a_prior(prior, shaped):
    flow = {"kind": "flow", "flow": {"kind": "coupling", "layers": 2, "width": 8}}
    ladder = {"kind": "ladder", "width": 16}
    partner = {"two_level": ("two_level", ladder), "ladder": (ladder, ladder)}.get(prior["kind"], ("gaussian", flow))
    posterior = away(build("posterior", partner[shaped], encoder=encoder(), **SIZES))
    module, z = away(build("prior", prior, **SIZES)).eval(), points()
    learned = chain(posterior.parameters(), module.parameters())
    agrees_with_differences(lambda: module(posterior).log_prob(z).sin().sum(), [z, *learned])


@pytest.mark.parametrize("backwards", [False, True])
def test_of_a_flow(flow, backwards):
    tokens = {"tokens": 1} if flow["kind"] == "cross_attention" else {}
    module, x = away(build("flow", flow | tokens, latent_dim=DIM)), points()
    context = torch.randn(BATCH, module.context).double().requires_grad_() if module.context else None

    def value() -> Tensor:
        transform = module(context)
        y, ladj = (transform.inv if backwards else transform).call_and_ladj(x)
        return y.sin().sum() + ladj.sin().sum()

    with sdpa_kernel(SDPBackend.MATH):  # fused attention has first derivatives only, and says so
        agrees_with_differences(value, [x, *([] if context is None else [context]), *module.parameters()])
