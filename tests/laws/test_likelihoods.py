"""Laws of every likelihood: it is a density, its samples are that density's, and it teaches the decoder."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vaelab.registry.schema import build

OUTPUTS = (-30.0, -4.0, 0.0, 0.6, 4.0, 30.0)
OFF = ("continuous_bernoulli",)  # the mean of which is not the sigmoid of its logit
PRECISION = 2e-5  # nats: the parameters are float32, and log-densities reach hundreds


def make(likelihood: dict, channels: int) -> nn.Module:
    spec, supplied = likelihood.copy(), {"x_shape": (channels, 4, 5)}  # any sides will do
    return build("likelihood", spec, grey_levels=spec.pop("grey_levels", 256), **supplied).eval()


def single_pixels(likelihood: dict, outputs=OUTPUTS) -> tuple[nn.Module, Tensor, Distribution]:
    """The likelihood, decoder outputs [N, params, 1, 1] in all combinations, and the N pixels they make."""
    module = make(likelihood, 1)
    grid = torch.tensor(list(product(outputs, repeat=module.params_per_channel)))[:, :, None, None].requires_grad_()
    return module, grid, module(grid)


def quadrature(module: nn.Module, pixels: Distribution) -> tuple[Tensor, Tensor]:
    """Values [M, N, 1, 1, 1] and weights [M, N] whose weighted sum is the integral over a pixel's support."""
    mean = pixels.mean.detach().double().flatten()
    if masses(module):
        points = levels(module)
        weights = torch.ones_like(points).double()
    elif pixels.support.base_constraint is constraints.unit_interval:  # tanh-sinh: dense at both ends
        t = torch.linspace(-4, 4, 4001, dtype=torch.float64)
        inner = math.pi / 2 * t.sinh()
        points = torch.sigmoid(2 * inner)
        weights = (t[1] - t[0]) * math.pi / 4 * t.cosh() / inner.cosh() ** 2
    else:  # dense around the mean, reaching far beyond any tail
        t = torch.linspace(-15, 15, 20001, dtype=torch.float64)[:, None]
        points = mean + 1e-3 * t.sinh()
        weights = (t[1] - t[0]) * 1e-3 * t.cosh()
    points, weights = (v.reshape(len(v), -1).expand(len(v), len(mean)) for v in (points, weights))
    return points[..., None, None, None], weights


def masses(module: nn.Module) -> bool:
    return module.scores == "mass"


def levels(module: nn.Module) -> Tensor:
    """The values that a pixel can take, in the type of images."""
    return torch.arange(module.grey_levels) / (module.grey_levels - 1)


@torch.no_grad()
def test_integrates_to_one(likelihood):
    module, _, pixels = single_pixels(likelihood)
    x, weights = quadrature(module, pixels)
    total = (pixels.log_prob(x).double().exp() * weights).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=PRECISION, rtol=0)


@torch.no_grad()
def test_samples_come_from_the_density(likelihood, agrees):
    """Entropy and two moments, by samples and by quadrature."""
    module, _, pixels = single_pixels(likelihood)
    x, weights = quadrature(module, pixels)
    log_p = pixels.log_prob(x).double()
    mass, values = log_p.exp() * weights, x.double().flatten(1)
    drawn = pixels.sample((20_000,))
    agrees(-pixels.log_prob(drawn), -(mass * log_p.clamp(min=-1e6)).sum(0), precision=PRECISION)
    agrees(drawn.flatten(1), (mass * values).sum(0), precision=PRECISION)
    agrees(drawn.flatten(1) ** 2, (mass * values**2).sum(0), precision=PRECISION)


@torch.no_grad()
def test_mean_is_the_mean_and_displayable_where_images_are(likelihood):
    module, _, pixels = single_pixels(likelihood)
    x, weights = quadrature(module, pixels)
    expected = (pixels.log_prob(x).double().exp() * weights * x.double().flatten(1)).sum(0)
    assert ((pixels.mean >= 0) & (pixels.mean <= 1)).all() or not module.bounded
    # A discretised variable may show its mean to half a level.
    allowed = 0.5 / (len(levels(module)) - 1) if masses(module) and module.grey_levels > 2 else 0
    torch.testing.assert_close(pixels.mean.double().flatten(), expected, atol=PRECISION + allowed, rtol=0)


def test_without_a_gradient_it_is_scored_as_exactly_as_with_one(likelihood):
    """Also where the decoder is sure of most of thousands of pixels, and rightly."""
    module = make(likelihood, 3)
    outputs = 100 * torch.randn(2, module.params_per_channel * 3, 32, 32)
    x = module(outputs).sample()
    learning, scored = module(outputs.clone().requires_grad_()).log_prob(x), module(outputs).log_prob(x)
    torch.testing.assert_close(scored.detach(), learning.detach(), rtol=1e-6, atol=1e-4)


@torch.no_grad()
def test_images_begin_near_a_mean(likelihood):
    """Of decoders whose bias is what the likelihood says; a continuous Bernoulli has another mean than its logit's."""
    module = make(likelihood, 1)
    mean = torch.linspace(0.02, 0.98, 20) if module.bounded else torch.linspace(-5, 5, 20)
    near = module.output_near(mean.view(1, 4, 5))
    narrow = torch.full((module.params_per_channel - 1, 4, 5), -30.0)
    if not module.autoregressive:  # whose decoder draws no image of its own
        begun, off = module(torch.cat([near, narrow])).mean.flatten(), 0.24 * (likelihood["kind"] in OFF)
        torch.testing.assert_close(begun, mean, atol=off + 1e-3, rtol=0)


@torch.no_grad()
def test_leading_dimensions_pass_through(likelihood):
    module = make(likelihood, 3)
    outputs = 3 * torch.randn(4, 5, module.params_per_channel * 3, 2, 6)
    p, x = module(outputs), torch.rand(5, 3, 2, 6).round()
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == ((4, 5), (3, 2, 6))
    assert p.mean.shape == p.sample().shape == (4, 5, 3, 2, 6)
    one_by_one = torch.stack(
        [torch.stack([module(o).log_prob(i) for o, i in zip(row, x, strict=True)]) for row in outputs]
    )
    torch.testing.assert_close(p.log_prob(x), one_by_one)


def test_gradients_are_finite_everywhere_and_alive_where_float32_can_tell(likelihood):
    """A float32 sigmoid is 1 from 17 on, so that its slope is 0 there; at ±8 no parameter may be dead.

    Of images of four equal pixels, since weights may be between pixels.
    """
    module, single, _ = single_pixels(likelihood, (-30.0, -8.0, 0.3, 8.0, 30.0))
    outputs = single.detach().repeat(1, 1, 2, 2).requires_grad_()
    learned, pixels = [outputs, *module.parameters()], module(outputs)
    reached = [torch.zeros_like(p) for p in learned]
    for value in levels(module)[[0, len(levels(module)) // 3, -1]] if masses(module) else torch.tensor([0.0, 0.3, 1.0]):
        log_p = pixels.log_prob(value.expand(len(outputs), 1, 2, 2))
        gradients = torch.autograd.grad(log_p.sum(), learned, retain_graph=True)
        assert log_p.isfinite().all()
        assert all(g.isfinite().all() for g in gradients)
        reached = [r + g.abs() for r, g in zip(reached, gradients, strict=True)]
    assert (reached[0][outputs.abs() <= 8] > 0).all()
    assert all(r.sum() > 0 for r in reached)


def test_every_output_of_the_decoder_is_used(likelihood):
    """Each channel and position teaches in some of the images; in one, a sure pixel may have nothing to teach."""
    module = make(likelihood, 3)
    outputs = torch.randn(50, module.params_per_channel * 3, 4, 5, requires_grad=True)
    p = module(outputs)
    p.log_prob(p.sample()).sum().backward()
    assert (outputs.grad != 0).any(0).all()


def test_probabilities_stay_float32_under_bf16(likelihood):
    module = make(likelihood, 2)
    decoder, x = nn.Linear(3, module.params_per_channel * 8), torch.rand(6, 2, 2, 2).round()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = decoder(torch.randn(6, 3)).unflatten(-1, (-1, 2, 2))
        p = module(outputs)
        log_p = p.log_prob(x)
    assert outputs.dtype == torch.bfloat16
    assert log_p.dtype == p.mean.dtype == torch.float32
    own_network = any(p.ndim > 1 for p in module.parameters())  # which is in bf16 too
    expected = module(outputs.float()).log_prob(x)
    torch.testing.assert_close(log_p, expected, rtol=1e-2 if own_network else 1e-6, atol=0)


class TestNormal:
    """What the normal likelihood does while training."""

    x, outputs = torch.linspace(0, 1, 24).reshape(2, 1, 3, 4), torch.linspace(-2, 1, 24).reshape(2, 1, 3, 4)

    def test_optimal_sigma_is_the_best_for_the_batch(self):
        optimal = build("likelihood", {"kind": "normal", "fit": "optimal"}).train()
        best = optimal(self.outputs).log_prob(self.x).mean()
        others = [build("likelihood", {"kind": "normal", "sigma": s}) for s in torch.linspace(0.05, 2, 400).tolist()]
        fixed = torch.stack([o(self.outputs).log_prob(self.x).mean() for o in others])
        assert best >= fixed.max()
        assert best - fixed.max() < 1e-2  # 12 pixels, σ to 0.5 %: 12 · (0.005)² nats at most, and some for float32

    def test_optimal_sigma_is_remembered_for_evaluation(self):
        optimal = build("likelihood", {"kind": "normal", "fit": "optimal"}).train()
        for _ in range(400):
            optimal(self.outputs).log_prob(self.x)
        error = (self.x - self.outputs.sigmoid()).square().mean().sqrt()
        torch.testing.assert_close(optimal.eval()(self.outputs).stddev.mean(), error, rtol=1e-4, atol=0)

    def test_the_constant_is_left_out_of_training_only(self):
        bare = build("likelihood", {"kind": "normal", "sigma": 0.3, "constant": False})
        whole = build("likelihood", {"kind": "normal", "sigma": 0.3})(self.outputs).log_prob(self.x)
        constant = -12 * (math.log(0.3) + 0.5 * math.log(2 * math.pi))
        torch.testing.assert_close(bare.train()(self.outputs).log_prob(self.x), whole - constant)
        torch.testing.assert_close(bare.eval()(self.outputs).log_prob(self.x), whole)

    @pytest.mark.parametrize("fit", ["learnable", "optimal"])
    def test_a_fitted_sigma_keeps_its_constant(self, fit):
        with pytest.raises(Exception, match=f"a {fit} σ needs its constant"):
            build("likelihood", {"kind": "normal", "fit": fit, "constant": False})

    def test_a_learnable_sigma_finds_the_error_and_stays_there(self):
        """Without its constant σ would grow for ever."""
        module = build("likelihood", {"kind": "normal", "fit": "learnable"}).train()
        optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
        for _ in range(300):
            optimiser.zero_grad()
            (-module(self.outputs).log_prob(self.x).mean()).backward()
            optimiser.step()
        error = (self.x - self.outputs.sigmoid()).square().mean().sqrt()
        torch.testing.assert_close(module.log_sigma.exp().detach(), error, rtol=1e-2, atol=0)
