"""Latents in levels are one distribution, in float64: drawn from and scored level by level, with a KL that adds up."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from vaelab.data.source import Split
from vaelab.distributions.hierarchy import Hierarchy, kl_of, levels_of, rsample_scored
from vaelab.distributions.latent import condition, constant, detached, has_moments, location, rsample_and_log_prob
from vaelab.distributions.normal import diagonal_normal
from vaelab.metrics.likelihood import level, likelihood
from vaelab.model import VAE
from vaelab.recipe.recipe import Recipe
from vaelab.registry.schema import build
from vaelab.roles import Level
from vaelab.training.process_group import ProcessGroup
from vaelab.training.validation import validate

SHAPE, IMAGES = (1, 3, 4), 3
HERE = ProcessGroup(0, 1, torch.device("cpu"))
POSTERIORS = [{"kind": "two_level", "width": 6}, {"kind": "ladder", "width": 6}]
PRIORS = [
    {"kind": "two_level", "width": 6},
    {"kind": "two_level", "width": 6, "top": {"kind": "vamp", "components": 4}},
    {"kind": "two_level", "width": 6, "top": {"kind": "mixture", "components": 4}},
    {"kind": "ladder"},
]


def away(module: nn.Module) -> nn.Module:
    """In float64, and away from its initial weights."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.double()


def posterior_of(spec: dict, levels: tuple[int, ...]) -> nn.Module:
    encoder = nn.Sequential(nn.Flatten(-3), nn.Linear(12, 6), nn.Tanh())
    return away(build("posterior", spec, encoder=encoder, x_shape=SHAPE, latent_dim=sum(levels), levels=levels))


def prior_of(spec: dict, levels: tuple[int, ...], **labels) -> nn.Module:
    sizes = {"latent_dim": sum(levels), "levels": levels, "top_dim": levels[0]}
    return away(build("prior", spec, x_shape=SHAPE, **sizes, **labels))


def images(count: int = IMAGES) -> Tensor:
    return torch.rand(count, *SHAPE).double()


@pytest.fixture(params=POSTERIORS, ids=lambda spec: spec["kind"])
def posterior(request) -> nn.Module:
    """One latent in each of two levels."""
    return posterior_of(request.param, (1, 1))


def label(given: tuple[str, dict]) -> str:
    posterior, prior = given
    return "-".join([posterior, prior["kind"], prior.get("top", {}).get("kind", "normal")])


PAIRS = [(prior["kind"], prior) for prior in PRIORS] + [("ladder", prior) for prior in PRIORS[:3]]


@pytest.fixture(params=PAIRS, ids=label)
def pair(request) -> tuple[nn.Module, nn.Module]:
    """A posterior and a prior of two or three levels of unlike size that go together."""
    kind, prior = request.param
    levels = (2, 3) if kind == "two_level" else (2, 1, 3)
    return posterior_of({"kind": kind, "width": 6}, levels), prior_of(prior, levels)


@pytest.fixture
def three() -> Hierarchy:
    """q(z | x) of three levels."""
    return posterior_of(POSTERIORS[1], (2, 1, 3))(images())


def parameters(*modules: nn.Module) -> list[nn.Parameter]:
    return [p for module in modules for p in module.parameters()]


class Line(Level):
    """p(z₂ | z₁) = N(slope z₁ + offset, σ²)."""

    latent_dim = 2

    def __init__(self, slope: Tensor, offset: Tensor, log_std: Tensor) -> None:
        super().__init__()
        self.slope, self.offset, self.log_std = slope, offset, log_std

    def forward(self, above: Tensor, context: Tensor | None = None) -> Independent:
        mean = above @ self.slope.T + self.offset
        return diagonal_normal(mean, self.log_std.expand_as(mean))


def line(batch: tuple[int, ...]) -> tuple[Hierarchy, MultivariateNormal]:
    """A linear-Gaussian hierarchy of three and two latents, and the same distribution as one normal."""
    mean, log_std = torch.randn(*batch, 3).double(), 0.3 * torch.randn(*batch, 3).double()
    step = Line(torch.randn(2, 3).double(), torch.randn(2).double(), 0.3 * torch.randn(2).double())
    of_top = torch.diag_embed((2 * log_std).exp())
    across = of_top @ step.slope.T
    below = step.slope @ across + torch.diag((2 * step.log_std).exp())
    covariance = torch.cat([torch.cat([of_top, across], -1), torch.cat([across.mT, below], -1)], -2)
    whole = MultivariateNormal(torch.cat([mean, mean @ step.slope.T + step.offset], -1), covariance)
    return Hierarchy(diagonal_normal(mean, log_std), [step]), whole


@torch.no_grad()
def test_draws_are_scored_by_their_density_and_by_the_sum_of_their_levels(pair):
    posterior, prior = pair
    q = posterior(images())
    z, log_q = rsample_and_log_prob(q, 50)
    assert (z.shape, log_q.shape) == ((50, IMAGES, sum(q.sizes)), (50, IMAGES))
    for p, of_z in ((q, log_q), (prior(posterior), prior(posterior).log_prob(z))):
        levels = p.at(z)
        torch.testing.assert_close(p.log_prob(z), of_z)
        torch.testing.assert_close(torch.stack([level.p.log_prob(level.z) for level in levels]).sum(0), of_z)
        torch.testing.assert_close(torch.stack([level.log_prob for level in levels]).sum(0), of_z)
        assert torch.equal(torch.cat([level.z for level in levels], -1), z)


@pytest.mark.parametrize("drawn_by", ["draw", "rsample", "sample"])
@torch.no_grad()
def test_density_integrates_to_one_and_has_the_moments_of_its_draws(posterior, agrees, drawn_by):
    q, number = posterior(images()), 20_000
    z = rsample_and_log_prob(q, number)[0] if drawn_by == "draw" else getattr(q, drawn_by)((number,))
    points, area = plane(z)
    log_q = q.log_prob(points)
    mass = log_q.exp() * area
    torch.testing.assert_close(mass.sum(0), torch.ones(IMAGES).double(), atol=1e-8, rtol=0)
    agrees(-q.log_prob(z), -(mass * log_q).nansum(0), precision=1e-7)
    first, second = ((mass[..., None] * points**moment).sum(0) for moment in (1, 2))
    agrees(z, first, precision=1e-7)
    agrees(z.square(), second, precision=1e-7)
    agrees(z.prod(-1), (mass * points.prod(-1)).sum(0), precision=1e-7)  # what one level has to do with the other


@pytest.mark.parametrize("top", ["normal", {"kind": "vamp", "components": 4}, {"kind": "mixture", "components": 4}])
@torch.no_grad()
def test_so_has_a_prior_whatever_its_top(agrees, top):
    p = prior_of({"kind": "two_level", "width": 6, "top": top}, (1, 1))(posterior_of(POSTERIORS[0], (1, 1)))
    z = p.sample((20_000,))
    points, area = plane(z[:, None])
    mass = (p.log_prob(points).exp() * area)[:, 0]
    assert mass.sum().item() == pytest.approx(1, abs=1e-8)
    for moment in (1, 2):
        agrees(z**moment, (mass[:, None] * points[:, 0] ** moment).sum(0), precision=1e-7)
    agrees(z.prod(-1), (mass * points[:, 0].prod(-1)).sum(0), precision=1e-7)


def plane(drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Points [M, B, 2], 12 standard deviations around samples [N, B, 2], and their area [B]: exact for smooth tails."""
    t = torch.linspace(-12, 12, 601, dtype=torch.float64)
    scale = drawn.std(0)
    return drawn.mean(0) + scale * torch.cartesian_prod(t, t)[:, None], (t[1] - t[0]) ** 2 * scale.prod(-1)


@torch.no_grad()
def test_the_levels_of_the_kl_add_up_to_the_mean_of_the_draws(pair, agrees):
    """With one draw for each of many copies of an image, against log q − log p of the same draws."""
    posterior, prior = pair
    q = posterior(images().repeat_interleave(4000, 0))
    z, log_q = rsample_and_log_prob(q, 1)
    for p in (prior(posterior), diagonal_normal(*torch.zeros(2, z.shape[-1]).double())):
        kl, levels = kl_of(q, p, z)
        assert levels.shape == (len(q.sizes), z.shape[1])
        agrees((levels.sum(0) - (log_q - p.log_prob(z))[0]).unflatten(0, (IMAGES, -1)).T, 0.0)
        of_levels = torch.stack([q_l.log_prob - p_l.log_prob for q_l, p_l in both(q, p, z)])
        agrees((levels - of_levels[:, 0]).unflatten(1, (IMAGES, -1)).movedim(2, 0), 0.0)  # and level by level
        if kl is not None:
            assert (kl >= -1e-12).all()
            torch.testing.assert_close(torch.stack([part.sum(-1) for part in kl.split(q.sizes, -1)]), levels)


def both(q: Hierarchy, p: Distribution, z: Tensor):
    return zip(q.at(z), levels_of(p, q.sizes, z), strict=True)


@torch.no_grad()
def test_per_dimension_numbers_are_there_where_every_level_has_a_closed_form():
    posterior = posterior_of(POSTERIORS[0], (2, 3))
    q = posterior(images())
    z = rsample_and_log_prob(q, 7)[0]
    normal = diagonal_normal(*torch.zeros(2, 5).double())
    for p in (normal, prior_of(PRIORS[0], (2, 3))(posterior)):
        assert kl_of(q, p, z)[0].shape == (IMAGES, 5)
    p = prior_of(PRIORS[2], (2, 3))(posterior)  # a mixture as the top level
    kl, levels = kl_of(q, p, z)
    assert kl is None
    torch.testing.assert_close(levels[0], (q.top.log_prob(z[..., :2]) - p.top.log_prob(z[..., :2])).mean(0))


@torch.no_grad()
def test_distributions_without_the_same_levels_have_no_kl_of_levels():
    posterior, mixture = posterior_of(POSTERIORS[0], (2, 3)), prior_of({"kind": "mixture", "components": 4}, (5,))
    q, normal = posterior(images()), diagonal_normal(*torch.zeros(2, 5).double())
    z = rsample_and_log_prob(q, 7)[0]
    others = [mixture(posterior), prior_of(PRIORS[0], (3, 2))(posterior), Independent(Normal(z[0], 1.0), 0)]
    assert [kl_of(q, p, z) for p in others[:2]] == [(None, None)] * 2
    one = diagonal_normal(z[0], torch.zeros_like(z[0]))
    assert kl_of(one, mixture(posterior), z) == (None, None)
    kl, levels = kl_of(one, normal, z)
    torch.testing.assert_close(kl, z[0].square() / 2)
    assert levels is None
    assert kl_of(one, prior_of(PRIORS[0], (2, 3))(posterior), z) == (None, None)


@torch.no_grad()
def test_a_linear_gaussian_hierarchy_is_the_normal_that_it_is(agrees):
    (q, of_q), (p, of_p) = line((IMAGES,)), line(())
    z, log_q = rsample_and_log_prob(q, 20_000)
    torch.testing.assert_close(log_q, of_q.log_prob(z))
    torch.testing.assert_close(p.log_prob(z), of_p.log_prob(z))
    torch.testing.assert_close(location(q), of_q.mean)
    agrees(z, of_q.mean)
    agrees(z[..., :, None] * z[..., None, :], of_q.covariance_matrix + of_q.mean[..., None] * of_q.mean[..., None, :])
    kl, levels = kl_of(q, p, z)
    exact, of_top = kl_divergence(of_q, of_p.expand((IMAGES,))), kl_divergence(q.top, p.top)
    torch.testing.assert_close(levels[0], of_top)
    below = torch.stack([kl_of(q, p, part)[1][1] for part in z.split(100)])  # means over a hundred draws
    agrees(below, exact - of_top)
    torch.testing.assert_close(kl.sum(-1), levels.sum(0))
    agrees(log_q - p.log_prob(z), exact)


def test_draws_with_all_that_is_said_of_them_are_what_each_would_say_alone(pair):
    """Values and gradients, with every level computed once."""
    posterior, prior = pair
    q, p = posterior(images()), prior(posterior)
    once = [
        *q.levels,
        *(set(p.levels) - set(posterior.modules())),
    ]  # a ladder's calls the prior's
    learned, calls = parameters(posterior, prior), []
    for step in once:
        step.register_forward_hook(lambda step, *_: calls.append(step))
    torch.manual_seed(1)
    z, log_qz, log_pz, kl, levels = rsample_scored(q, p, 6)
    assert len(calls) == len(once) and set(calls) == set(once)
    torch.manual_seed(1)
    alone, log_q = rsample_and_log_prob(q, 6)
    kl_alone, levels_alone = kl_of(q, p, alone)
    together = [z, log_qz, log_pz, levels, *([] if kl is None else [kl])]
    apart = [alone, log_q, p.log_prob(alone), levels_alone, *([] if kl_alone is None else [kl_alone])]

    def gradients(numbers: list[Tensor]) -> tuple[Tensor, ...]:
        total = sum((1 + i) * t.sin().sum() for i, t in enumerate(numbers))
        return torch.autograd.grad(total, learned, retain_graph=True)

    for mine, theirs in zip([*together, *gradients(together)], [*apart, *gradients(apart)], strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_z_that_was_scored_without_gradients_has_some_when_scored_again(pair):
    posterior, prior = pair
    q, p = posterior(images()), prior(posterior)
    z = rsample_and_log_prob(q, 2)[0].detach()
    with torch.no_grad():
        p.log_prob(z), q.log_prob(z)
    assert q.log_prob(z).requires_grad and p.log_prob(z).requires_grad


def test_every_parameter_learns(pair):
    posterior, prior = pair
    q, p = posterior(images()), prior(posterior)
    z, log_q = rsample_and_log_prob(q, 6)
    (log_q - p.log_prob(z)).square().sum().backward()
    silent = [name for module in pair for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_draws_carry_the_gradient_of_the_expectation(agrees):
    """Of E‖z‖² in the parameters of both levels, known in closed form."""
    slope, offset = torch.randn(2, 3).double().requires_grad_(), torch.randn(2).double().requires_grad_()
    mean = torch.randn(3).double().requires_grad_()
    q = Hierarchy(diagonal_normal(mean, torch.zeros(3).double()), [Line(slope, offset, torch.zeros(2).double())])
    exact = 3 + 2 + mean.square().sum() + (slope @ mean + offset).square().sum() + slope.square().sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(exact, [mean, slope, offset])])
    drawn = [
        torch.autograd.grad(z.square().sum(-1).mean(), [mean, slope, offset])
        for z in (q.rsample((50,)) for _ in range(400))
    ]
    agrees(torch.stack([torch.cat([g.flatten() for g in one]) for one in drawn]), expected)


def test_detached_is_the_same_density_as_a_constant(pair):
    posterior, prior = pair
    q, p = posterior(images()), prior(posterior)
    z = rsample_and_log_prob(q, 7)[0].detach().requires_grad_()
    for one in (q, p):
        with constant(posterior), constant(prior):
            fixed, away_from_z = detached(one).log_prob(z), detached(one).log_prob(z.detach())
        torch.testing.assert_close(fixed, one.log_prob(z))
        (of_constant,) = torch.autograd.grad(fixed.sum(), z, retain_graph=True)
        (of_z,) = torch.autograd.grad(one.log_prob(z).sum(), z, retain_graph=True)
        torch.testing.assert_close(of_constant, of_z)  # through z as before
        assert not away_from_z.requires_grad
        assert one.log_prob(z.detach()).requires_grad


@torch.no_grad()
def test_a_top_that_knows_classes_gives_levels_that_know_them(agrees):
    top = {"kind": "mixture", "components": 6}
    prior = prior_of({"kind": "two_level", "width": 6, "top": top}, (2, 3), classes=3, conditional=True)
    posterior, y = posterior_of(POSTERIORS[0], (2, 3)), torch.tensor([2, 0, 1, 2])
    p = prior(posterior)
    of_y = condition(p, y)
    z = of_y.sample()
    assert (tuple(of_y.batch_shape), z.shape) == ((4,), (4, 5))
    expected = p.top.condition(y).log_prob(z[:, :2]) + prior.lower[0](z[:, :2]).log_prob(z[:, 2:])
    torch.testing.assert_close(of_y.log_prob(z), expected)
    agrees(torch.stack([of_y.sample() for _ in range(2000)])[..., :2], middle(prior.top, y))
    q = posterior(images(4))
    assert kl_of(q, of_y, rsample_and_log_prob(q, 5)[0])[1].shape == (2, 4)
    assert condition(p, None) is p


def middle(mixture: nn.Module, y: Tensor) -> Tensor:
    """E[z | y] of a mixture whose components are dealt out to the classes in turn."""
    weights = mixture.log_weights.softmax(0) * (mixture.labels == y[:, None])
    return weights / weights.sum(1, keepdim=True) @ mixture.mean


@torch.no_grad()
def test_a_top_that_knows_none_gives_the_same_whatever_the_class():
    p = prior_of(PRIORS[2], (2, 3))(posterior_of(POSTERIORS[0], (2, 3)))
    z = torch.randn(4, 5).double()
    torch.testing.assert_close(condition(p, torch.tensor([2, 0, 1, 2])).log_prob(z), p.log_prob(z))


@torch.no_grad()
def test_below_keeps_what_is_known(three, agrees):
    z = rsample_and_log_prob(three, 1)[0][0]
    for known, kept in ((1, 2), (2, 3), (3, 6)):
        for mean in (False, True):
            assert torch.equal(three.below(z[:, :kept], known, mean=mean)[:, :kept], z[:, :kept])
    expected = z[:, :2]
    for step in three.levels:
        expected = torch.cat([expected, step(expected, three.context).mean], -1)
    torch.testing.assert_close(three.below(z[:, :2], mean=True), expected)
    torch.testing.assert_close(three.below(three.top.mean, mean=True), location(three))
    assert not has_moments(three)
    many = three.below(z[:, :3].expand(20_000, -1, -1), 2)  # of the lowest level only
    agrees(many[..., 3:], three.levels[1](z[:, :3], three.context).mean)


@pytest.mark.parametrize("prior", PRIORS[1:3], ids=["vamp", "mixture"])
@torch.no_grad()
def test_responsibilities_are_those_of_the_top(prior):
    p = prior_of(prior, (2, 3))(posterior_of(POSTERIORS[0], (2, 3)))
    z = p.sample((5, IMAGES))
    found = p.responsibilities(z)
    assert found.shape == (5, IMAGES, 4)
    torch.testing.assert_close(found.sum(-1), torch.ones(5, IMAGES).double())
    torch.testing.assert_close(found, p.top.responsibilities(z[..., :2]))


def two_level_model(**model) -> VAE:
    options = {
        "latent_dim": [2, 3],
        "backbone": {"kind": "hierarchical_mlp", "width": 12},
        "posterior": {"kind": "two_level", "width": 12},
        "prior": {"kind": "two_level", "width": 12},
    }
    recipe = Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": options | model})
    return away(recipe.build_model((1, 6, 6))).float().eval()


@pytest.fixture
def split() -> Split:
    return Split((torch.rand(64, 1, 6, 6) < 0.3).byte() * 255)


MODELS = [
    {},
    {"prior": {"kind": "two_level", "width": 12, "top": {"kind": "vamp", "components": 5}}},
    {"prior": "normal"},
    {
        "latent_dim": [2, 1, 2],
        "backbone": {"kind": "mlp", "width": 12},
        "posterior": {"kind": "ladder", "width": 12},
        "prior": "ladder",
    },
    {
        "latent_dim": [2, 1, 2],
        "backbone": {"kind": "mlp", "width": 12},
        "posterior": {"kind": "ladder", "width": 12},
        "prior": {"kind": "two_level", "width": 12, "top": {"kind": "vamp", "components": 5}},
    },
]
NAMES = ["normal-top", "vamp-top", "normal", "ladder", "three-levels"]


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
@torch.no_grad()
def test_the_bound_rises_with_the_draws(split, model):
    model = two_level_model(**model)
    log_w = model(split.images / 255, samples=1000).log_w
    bounds = torch.stack([level(log_w, size) for size in (1, 10, 100)])
    gains = bounds.diff(dim=0)
    assert (gains.mean(1) > 4.5 * gains.std(1) / math.sqrt(len(split))).all()
    found = likelihood(model, split, samples=100)
    sizes, curve = zip(*found.curves["iwae"], strict=True)
    assert list(curve[:5]) == sorted(curve[:5]) and sizes[4] == 20
    assert found.values["elbo"] + found.values["elbo_error"] < found.values["iwae"]


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
@torch.no_grad()
def test_the_levels_of_the_kl_add_up_in_metrics_and_in_validation(split, model):
    model = two_level_model(**model)
    values, levels = likelihood(model, split, samples=10).values, len(model.q_z(split.images / 255).sizes)
    held = validate(model, build("objective", "elbo", pixels=36), split, 0, HERE)
    for found in (values, held):
        names = [f"kl_{n}" for n in range(1, levels + 1)]
        assert names == sorted(name for name in found if name.startswith("kl_"))
        assert sum(found[name] for name in names) == pytest.approx(found["kl"], rel=1e-6)
    assert values["elbo"] == pytest.approx(values["log_px"] - values["kl"])
    assert held["loss"] == pytest.approx(held["reconstruction"] + held["kl"], rel=1e-6)


def test_nats_are_free_in_each_level():
    """Σ_l max(KL_l, λ) of the batch means: a level below λ is not pushed further down."""
    x = (torch.rand(16, 1, 6, 6) < 0.3).float()
    model = two_level_model()
    terms = model(x)
    low, high = sorted(terms.levels.mean(1).tolist())
    for nats in (low / 2, (low + high) / 2, 2 * high):
        loss, scalars = build("objective", {"kind": "elbo", "level_nats": nats}, pixels=36)(terms, 0)
        penalty = sum(max(kl, nats) for kl in (low, high))
        assert loss.item() == pytest.approx(scalars["reconstruction"].item() + penalty, rel=1e-6)
        assert scalars["kl"].item() == pytest.approx(low + high, rel=1e-6)
        assert scalars["kl_1"].item() + scalars["kl_2"].item() == pytest.approx(low + high, rel=1e-6)
    free = build("objective", {"kind": "elbo", "level_nats": 2 * high}, pixels=36)(terms, 0)[0]
    torch.autograd.backward(free - (-terms.log_px.mean()))
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
