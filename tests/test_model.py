"""The VAE: five public methods, whatever it is made of."""

import itertools

import pytest
import torch
from torch import Tensor

from vaelab.distributions.hierarchy import kl_of
from vaelab.model import VAE
from vaelab.recipe.recipe import Recipe
from vaelab.registry import names, part
from vaelab.roles import Terms

SHAPE, LATENT_DIM, IMAGES = (1, 9, 8), 3, 4
LEVELED = ("two_level", "ladder")
ROLES = ("backbone", "likelihood", "posterior", "prior")
SCORED = [name for name in names("likelihood") if part("likelihood", name).scores != "loss"]


def fit(posterior: str, prior: str) -> bool:
    """Whether two parts go together; the posterior of a pyramid has tests of its own."""
    if posterior in LEVELED and prior in ("vamp", "exemplar"):  # which are made of Gaussians: they may be its top
        return False
    return posterior != "residual" and (prior != "ladder" or posterior == "ladder")


# Every likelihood with both kinds of network, and every prior with every posterior that it fits.
COMBINATIONS = [
    *(("conv", likelihood, "gaussian", "normal") for likelihood in SCORED),
    *(("mlp", likelihood, "gaussian", "normal") for likelihood in SCORED),
    *(
        ("mlp", "bernoulli", *pair)
        for pair in itertools.product(names("posterior"), names("prior"))
        if pair != ("gaussian", "normal") and fit(*pair)
    ),
]


def make(combination: tuple[str, ...], seed: int = 0, shape=SHAPE) -> VAE:
    parts = dict(zip(ROLES, combination, strict=True))
    levels = [1, LATENT_DIM - 1] if {*LEVELED} & {*combination} else LATENT_DIM
    model = {"latent_dim": levels, **parts, "backbone": {"kind": parts["backbone"], "width": 6}}
    if parts["prior"] == "exemplar":
        model["prior"] = {"kind": "exemplar", "components": 9, "per_step": 5}
    return Recipe.of({"data": "shapes", "train": {"epochs": 1, "seed": seed}, "model": model}).build_model(shape).eval()


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def model(request) -> VAE:
    return make(request.param)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(IMAGES, *SHAPE).round()


@pytest.mark.parametrize("samples", [1, 5])
def test_terms(model, x, samples):
    terms = model(x, samples=samples)
    for name in ("log_px", "log_pz", "log_qz", "log_w"):
        value = getattr(terms, name)
        assert value.shape == (samples, IMAGES), name
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    assert terms.z.shape == (samples, IMAGES, LATENT_DIM)
    assert terms.rate.shape == (IMAGES,)
    assert terms.kl is None or terms.kl.shape == (IMAGES, LATENT_DIM)
    assert len({tuple(z.flatten().tolist()) for z in terms.z}) == samples  # no draw stands twice


def test_terms_are_those_of_the_four_distributions(model, x):
    """log p(x | z), log p(z) and log q(z | x) at the very z that is returned."""
    terms, q, p = model(x, samples=3), model.q_z(x), model.p_z()
    torch.testing.assert_close(terms.log_px, model.p_x(terms.z).log_prob(x))
    torch.testing.assert_close(terms.log_pz, p.log_prob(terms.z))
    torch.testing.assert_close(terms.log_qz, q.log_prob(terms.z))
    torch.testing.assert_close(terms.log_w, terms.log_px + terms.log_pz - terms.log_qz)
    kl, levels = kl_of(q, p, terms.z)
    for mine, expected in ((terms.kl, kl), (terms.levels, levels)):
        assert (mine is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(mine, expected)
    drawn = (terms.log_qz - terms.log_pz).mean(0)
    rate = drawn if kl is None and levels is None else kl.sum(-1) if levels is None else levels.sum(0)
    torch.testing.assert_close(terms.rate, rate)


@torch.no_grad()
def test_leading_dimensions_of_z_pass_through(model):
    z = torch.randn(2, 3, 5, LATENT_DIM)
    p = model.p_x(z)
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == ((2, 3, 5), SHAPE)
    x = torch.rand(5, *SHAPE).round()
    torch.testing.assert_close(p.log_prob(x)[1, 2], model.p_x(z[1, 2]).log_prob(x), rtol=1e-4, atol=1e-5)


def test_generates_images(model):
    images = model.generate(6)
    assert images.shape == (6, *SHAPE)
    assert ((images >= 0) & (images <= 1)).all()
    assert not images.requires_grad
    assert not torch.equal(images, model.generate(6))
    torch.manual_seed(7)
    again = model.generate(6)
    torch.manual_seed(7)
    torch.testing.assert_close(model.generate(6), again, rtol=0, atol=0)


def test_reconstructs_images_without_chance(model, x):
    images = model.reconstruct(x)
    assert images.shape == x.shape
    assert ((images >= 0) & (images <= 1)).all()
    assert not images.requires_grad
    torch.testing.assert_close(model.reconstruct(x), images, rtol=0, atol=0)


def test_path_changes_the_gradient_of_log_q_alone(model, x):
    results = []
    for path in (False, True):
        torch.manual_seed(3)
        results.append(model(x, samples=2, path=path))
    for name in ("log_px", "log_pz", "log_qz", "z"):
        torch.testing.assert_close(getattr(results[0], name), getattr(results[1], name))
    encoder = [p for n, p in model.named_parameters() if n.startswith("posterior")]
    plain, path = (torch.autograd.grad(t.log_qz.sum(), encoder, retain_graph=True) for t in results)
    assert any(not torch.allclose(a, b) for a, b in zip(plain, path, strict=True))
    for term in ("log_px", "log_pz"):
        pair = [torch.autograd.grad(getattr(t, term).sum(), encoder, retain_graph=True) for t in results]
        for a, b in zip(*pair, strict=True):
            torch.testing.assert_close(a, b)


def test_weights_go_out_and_come_back(model, x, request):
    """Into a model of another seed, after which both agree in everything."""
    combination = request.node.callspec.params["model"]
    other = make(combination, seed=1)
    results = [torch.cat([m.reconstruct(x), m.p_x(torch.ones(1, LATENT_DIM)).mean]) for m in (model, other)]
    assert not torch.allclose(*results)
    other.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, strict=True)
    for m in (model, other):
        torch.manual_seed(5)
        results.append(torch.stack([m(x, samples=3).log_w, m(x, samples=3).log_w]))
    torch.testing.assert_close(results[2], results[3], rtol=0, atol=0)
    torch.testing.assert_close(other.reconstruct(x), results[0][:IMAGES], rtol=0, atol=0)


def test_all_weights_are_in_the_state(model):
    state = model.state_dict()
    assert {n for n, _ in model.named_parameters()} <= set(state)
    shared = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
    assert len(shared) == len(set(shared))  # no parameter lives in two places


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_the_seed_of_the_recipe_decides_the_weights(combination):
    first, same, other = (make(combination, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@torch.no_grad()
@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_colour_images(combination):
    model, x = make(combination, shape=(3, 5, 7)), torch.rand(2, 3, 5, 7).round()
    assert model(x, samples=2).log_px.shape == (2, 2)
    assert model.generate(2).shape == model.reconstruct(x).shape == x.shape


def test_path_gradient_of_log_q_is_unbiased(linear_gaussian, agrees):
    """The score that `path` leaves out has expectation zero."""
    model = linear_gaussian(off=0.3)
    x = model.images(3)

    def gradient(path: bool) -> Tensor:
        torch_terms = model(x, samples=20, path=path)
        gradients = torch.autograd.grad(torch_terms.log_w.mean(), list(model.posterior.parameters()))
        return torch.cat([g.flatten() for g in gradients])

    agrees(torch.stack([gradient(True) - gradient(False) for _ in range(500)]), 0.0)


def test_path_gradient_vanishes_at_the_exact_posterior(linear_gaussian):
    """log w is log p(x) for every z there, so that only the score is left, and `path` drops it."""
    model = linear_gaussian()
    log_w = model(model.images(3), samples=4, path=True).log_w.sum()
    for gradient in torch.autograd.grad(log_w, list(model.posterior.parameters())):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)


def test_the_rate_without_a_closed_form_is_the_mean_of_the_draws():
    log_px, log_pz, log_qz = torch.randn(3, 4, 2)
    terms = Terms(log_px, log_pz, log_qz, None, torch.randn(4, 2, 3))
    torch.testing.assert_close(terms.rate, (log_qz - log_pz).mean(0))
    torch.testing.assert_close(terms._replace(kl=torch.ones(2, 3)).rate, torch.full((2,), 3.0))
