"""Laws of every flow: its log-determinant is that of its Jacobian, and its inverse undoes it, gradients and all."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TransformedDistribution

from vaelab.errors import UsageError
from vaelab.registry import names
from vaelab.registry.schema import build
from vaelab.training.checkpoint import read_model, save_model

BATCH = 3


def built(flow: dict, latent_dim: int, moved: float = 0.3) -> nn.Module:
    """In float64, its parameters moved away from where they start; as many tokens as there can be."""
    tokens = {"tokens": max(latent_dim // 2, 1)} if flow["kind"] == "cross_attention" else {}
    module = build("flow", flow | tokens, latent_dim=latent_dim).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += moved * torch.randn_like(parameter)
    return module


def context_of(module: nn.Module) -> Tensor | None:
    return torch.randn(BATCH, module.context).double() if module.context else None


def noise(*shape: int) -> Tensor:
    return 2 * torch.randn(*shape).double()


@pytest.fixture(params=[2, 4])
def module(request, flow) -> nn.Module:
    return built(flow, request.param)


@pytest.fixture
def transform(module):
    return module(context_of(module))


@pytest.mark.parametrize("backwards", [False, True])
def test_log_determinant_is_that_of_the_jacobian(module, transform, backwards):
    dim = module.latent_dim
    x = noise(BATCH, dim).expand(dim, BATCH, dim).clone().requires_grad_()
    y, ladj = (transform.inv if backwards else transform).call_and_ladj(x)
    rows = torch.eye(dim).double()[:, None].expand_as(y)
    (jacobian,) = torch.autograd.grad(y, x, rows)  # one row per copy of x
    close(ladj[0], torch.linalg.slogdet(jacobian.transpose(0, 1)).logabsdet)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-8, rtol=1e-8)


@torch.no_grad()
@pytest.mark.parametrize("backwards", [False, True])
def test_inverse_undoes_it(module, transform, backwards):
    there, back = (transform.inv, transform) if backwards else (transform, transform.inv)
    x = noise(200, BATCH, module.latent_dim)
    y, ladj = there.call_and_ladj(x)
    again, ladj_back = back.call_and_ladj(y)
    close(again, x)
    close(ladj_back, -ladj)
    close(there(x), y)
    close(there.log_abs_det_jacobian(x, y), ladj)


def test_gradient_through_the_inverse_is_that_of_the_inverse(module):
    """T(T⁻¹(z)) = z for all z, parameters and contexts; so its derivative is the identity in z and zero in the rest."""
    z = noise(20, BATCH, module.latent_dim).requires_grad_()
    context = context_of(module)
    rest = [*module.parameters(), *([] if context is None else [context.requires_grad_()])]
    transform = module(context)
    u, ladj_back = transform.inv.call_and_ladj(z)
    again, ladj = transform.call_and_ladj(u)
    weight, of_ladj = torch.randn_like(z), torch.randn_like(ladj)
    value = (weight * again).sum() + (of_ladj * (ladj + ladj_back)).sum()
    of_z, *of_rest = torch.autograd.grad(value, [z, *rest])
    for gradient, expected in zip((of_z, *of_rest), (weight, *map(torch.zeros_like, rest)), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("backwards", [False, True])
def test_gradient_agrees_with_finite_differences(flow, backwards):
    module = built(flow, 2)
    context = context_of(module)
    inputs = [noise(BATCH, 2).requires_grad_(), *([] if context is None else [context.requires_grad_()])]

    def mapped(x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        transform = module(context)
        return (transform.inv if backwards else transform).call_and_ladj(x)

    assert torch.autograd.gradcheck(mapped, inputs)


@pytest.mark.parametrize("backwards", [False, True])
def test_every_parameter_learns_from_the_first_step(flow, backwards):
    module = built(flow, 4, moved=0.0)
    transform = module(context_of(module))
    y, ladj = (transform.inv if backwards else transform).call_and_ladj(noise(50, BATCH, 4))
    ((y * torch.randn_like(y)).sum() + ladj.sum()).backward()
    dead = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead


@torch.no_grad()
def test_it_begins_near_the_identity(flow):
    if flow["kind"] == "householder" and flow.get("reflections", 0) % 2:
        pytest.skip("an odd number of reflections is itself one")
    module = built(flow, 16, moved=0.0)
    u = noise(100, BATCH, 16)
    z, ladj = module(context_of(module)).call_and_ladj(u)
    assert (z - u).norm() < 0.3 * u.norm()
    assert ladj.abs().max() < 0.1 * 16


@torch.no_grad()
def test_pushed_normal_integrates_to_one_and_has_the_entropy_of_its_samples(flow, agrees):
    module = built(flow, 2, moved=0.1)
    transform = module(context_of(module))
    base = Independent(Normal(torch.zeros(2).double(), 1.0), 1)
    u = base.sample((20_000, BATCH if module.context else 1))
    z, ladj = transform.call_and_ladj(u)
    points, area = plane(z)
    back, ladj_back = transform.inv.call_and_ladj(points)
    log_q = base.log_prob(back) + ladj_back
    mass = log_q.exp() * area
    torch.testing.assert_close(mass.sum(0), torch.ones_like(area), atol=1e-3, rtol=0)  # the grid's error at kinks
    agrees(ladj - base.log_prob(u), -(mass * log_q).sum(0), precision=1e-3)


def plane(drawn: Tensor, points: int = 160) -> tuple[Tensor, Tensor]:
    """A grid [points², B, 2] well around samples [N, B, 2], and the area [B] of its cells."""
    low, high = drawn.amin(0), drawn.amax(0)
    t = torch.linspace(-0.5, 1.5, points, dtype=torch.float64)
    grid = low + (high - low) * torch.cartesian_prod(t, t)[:, None]
    return grid, (high - low).prod(-1) * (t[1] - t[0]) ** 2


@torch.no_grad()
def test_it_serves_a_torch_distribution(module, transform):
    base = Independent(Normal(torch.zeros(BATCH, module.latent_dim).double(), 1.0), 1)
    q = TransformedDistribution(base, [transform])
    z = q.sample((5,))
    u, ladj = transform.inv.call_and_ladj(z)
    close(q.log_prob(z), base.log_prob(u) + ladj)


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(flow):
    """Its random permutations too."""
    one, other = built(flow, 4), built(flow, 4)
    context, u = context_of(one), noise(50, BATCH, 4)
    z = one(context)(u)
    assert (other(context)(u) - z).abs().max() > 0.01
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(context).call_and_ladj(u), one(context).call_and_ladj(u), rtol=0, atol=0)


@torch.no_grad()
def test_it_begins_as_the_seed_says(flow):
    starts = []
    for _ in range(2):
        torch.manual_seed(3)
        starts.append(built(flow, 4).state_dict())
    torch.testing.assert_close(*starts, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("backwards", [False, True])
def test_images_of_a_batch_do_not_mix(module, backwards):
    context, x = context_of(module), noise(5, BATCH, module.latent_dim)

    def mapped(rows: slice) -> tuple[Tensor, Tensor]:
        transform = module(None if context is None else context[rows])
        return (transform.inv if backwards else transform).call_and_ladj(x[:, rows])

    for whole, alone in zip(mapped(slice(None)), mapped(slice(1, 2)), strict=True):
        close(whole[:, 1:2], alone)


@torch.no_grad()
def test_leading_dimensions_of_latents_and_context_broadcast(module):
    context, x = context_of(module), noise(5, BATCH, module.latent_dim)
    for way in (lambda t: t, lambda t: t.inv):
        z, ladj = way(module(context)).call_and_ladj(x)
        assert (z.shape, ladj.shape) == (x.shape, x.shape[:-1])
        rows = [way(module(context)).call_and_ladj(row) for row in x]
        close(z, torch.stack([row for row, _ in rows]))
        close(ladj, torch.stack([row for _, row in rows]))
        shared = way(module(context)).call_and_ladj(x[:, :1])[0]
        close(shared[:, :1], way(module(None if context is None else context[:1]))(x[:, :1]))
        assert shared.shape == (5, BATCH if module.context else 1, module.latent_dim)
        close(way(module(None if context is None else context[0]))(x[0, 0]), z[0, 0])


@torch.no_grad()
def test_context_matters_and_all_of_it(flow):
    module = built({**flow, "context": 3}, 4)
    context, u = context_of(module), noise(5, BATCH, module.latent_dim)
    for i in range(module.context):
        other = context.clone()
        other[:, i] += 1
        assert (module(other)(u) - module(context)(u)).abs().amax((0, 2)).min() > 1e-4


def test_wild_latents_and_contexts_leave_everything_finite(flow):
    module = built(flow, 4).float()
    context = None if not module.context else 100 * torch.randn(BATCH, module.context)
    for way in (lambda t: t, lambda t: t.inv):
        y, ladj = way(module(context)).call_and_ladj(100 * torch.randn(20, BATCH, 4))
        (y.mean() + ladj.mean()).backward()
        assert y.isfinite().all() and ladj.isfinite().all()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


@torch.no_grad()
def test_autocast_leaves_it_in_float32(flow):
    """Latents, log-determinant and round trip, also where context and noise come from a network in bfloat16."""
    module = built(flow, 4).float()
    context, u = context_of(module), torch.randn(50, BATCH, 4)
    context = None if context is None else context.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        z, ladj = module(context).call_and_ladj(u)
        again, ladj_back = module(context).inv.call_and_ladj(z)
        assert module(context)(u.bfloat16()).dtype == torch.float32
    assert {t.dtype for t in (z, ladj, again, ladj_back)} == {torch.float32}
    torch.testing.assert_close(again, u, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ladj_back, -ladj, atol=1e-3, rtol=1e-3)


def test_another_context_or_latent_is_refused(module, transform):
    for wrong in {7, 0} - {module.context}:
        with pytest.raises(ValueError, match=rf"context of {module.context} numbers and got {wrong}; set context="):
            module(torch.zeros(BATCH, wrong) if wrong else None)
    for way in (transform, transform.inv):
        with pytest.raises(ValueError, match=f"transforms {module.latent_dim} latents and got 6"):
            way(torch.zeros(BATCH, 6).double())


def test_one_latent_is_modelled_or_refused_in_one_sentence(flow):
    try:
        module = built(flow, 1)
    except UsageError as error:
        assert flow["kind"] in ("coupling", "spline", "maf", "iaf", "cross_attention")
        assert "latent_dim" in str(error) and "\n" not in str(error)
    else:
        u = noise(10, BATCH, 1)
        close(module(context := context_of(module)).inv(module(context)(u)), u)


@pytest.mark.parametrize("kind", names("flow"))
def test_every_flow_can_be_saved_at_its_defaults(kind, tmp_path):
    """No two weights or buffers share memory, which the model file refuses."""
    built = build("flow", {"kind": kind}, latent_dim=16)
    save_model(tmp_path / "model.safetensors", built, {})
    other = build("flow", {"kind": kind}, latent_dim=16)
    other.load_state_dict(read_model(tmp_path / "model.safetensors")[0])
    u = torch.randn(3, 16)
    torch.testing.assert_close(other()(u), built()(u), rtol=0, atol=0)
