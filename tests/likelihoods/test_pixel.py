"""The autoregressive likelihood: what a pixel sees, that all images together have probability one, and its draws."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import vaelab
from vaelab.errors import UsageError
from vaelab.likelihoods import pixel
from vaelab.nn import masked
from vaelab.recipe.recipe import Recipe
from vaelab.registry.schema import build

NORMALS = [{"kind": "normal", **changed} for changed in ({}, {"fit": "optimal"}, {"bounded": False})]
BASES = ["bernoulli", "continuous_bernoulli", "laplace", "logistic", *NORMALS]
MAPS, CHANNELS, HEIGHT, WIDTH = 3, 2, 4, 5
TINY = """
data: {kind: digits, train_size: 48, valid_size: 16, test_size: 16}
model:
  latent_dim: 2
  backbone: {kind: mlp, width: 8}
  likelihood: {kind: pixel, base: logistic, channels: 4, layers: 2}
objective: elbo
train: {epochs: 1, batch_size: 16, draw_every: 0}
"""


def made(base: str | dict = "bernoulli", channels: int = CHANNELS, layers: int = 3) -> nn.Module:
    """As after some training: weights that matter."""
    options = {"kind": "pixel", "base": base, "maps": MAPS, "channels": 12, "layers": layers}
    module = build("likelihood", options, x_shape=(channels, HEIGHT, WIDTH)).eval()
    for weight in module.net.parameters():
        nn.init.kaiming_normal_(weight) if weight.ndim > 1 else nn.init.uniform_(weight, -0.5, 1.5)
    return module


def maps_of(*leading: int) -> Tensor:
    return torch.randn(*leading, MAPS * CHANNELS, HEIGHT, WIDTH)


def images(*leading: int) -> Tensor:
    return torch.rand(*leading, CHANNELS, HEIGHT, WIDTH).round()


@pytest.fixture
def binary() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A likelihood of 2 × 3 binary images, the maps of one, all 64 images and their probabilities."""
    module, maps = made(channels=1), torch.randn(MAPS, 2, 3)
    every = torch.tensor(list(product((0.0, 1.0), repeat=6))).view(-1, 1, 2, 3)
    return module, maps, every, module(maps).log_prob(every).detach().double().exp()


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("training", [False, True])
def test_a_pixel_sees_those_before_it_and_the_maps_all_around_it(layers, training):
    """By derivatives of a batch: in no image itself or a later pixel, but all that its layers reach."""
    net = made(layers=layers).net.train(training)
    both = torch.autograd.functional.jacobian(lambda m, x: net(m, x).sum((0, 1)), (maps_of(9), images(9)))
    sees_map, sees = ((j != 0).any(3).any(2) for j in both)  # [H, W, H, W]
    assert not sees.reshape(HEIGHT * WIDTH, -1).triu().any()
    for i, j, row, column in product(range(HEIGHT), range(WIDTH), range(HEIGHT), range(WIDTH)):
        up, right = i - row, column - j
        reached = 0 <= up <= layers and -layers <= right <= up and (up, right) != (0, 0)
        assert sees[i, j, row, column] == reached
        assert sees_map[i, j, row, column] or max(abs(up), abs(right)) > 1


def test_with_eight_layers_it_sees_what_the_pixelhvae_does():
    """Of the pixels before the middle of 28 × 28."""
    net = made(layers=8).net
    x = torch.rand(20, CHANNELS, 28, 28).requires_grad_()
    (gradient,) = torch.autograd.grad(net(torch.randn(20, MAPS * CHANNELS, 28, 28), x)[:, :, 14, 14].sum(), x)
    assert (gradient != 0).any(1).any(0).sum() == 116


@pytest.mark.parametrize("training", [False, True])
def test_the_probabilities_of_all_images_sum_to_one(binary, training):
    """Each scored alone; with knowledge of later pixels they would be no distribution."""
    module, maps, every, _ = binary
    p = module.train(training)(maps)
    probabilities = torch.stack([p.log_prob(x) for x in every]).double().exp()
    assert probabilities.min() < 0.2 * probabilities.max()  # not all alike
    torch.testing.assert_close(probabilities.sum(), torch.ones(()).double(), rtol=1e-5, atol=0)


def test_images_are_drawn_as_often_as_they_are_probable(binary, agrees):
    """By the parities of all sets of pixels, which together say how frequent each image is."""
    module, maps, every, probabilities = binary
    sets = every.flatten(1)

    def parities(x: Tensor) -> Tensor:
        return (-1) ** (x.flatten(1) @ sets.T)

    drawn = module(maps).sample((20_000,))
    agrees(parities(drawn), probabilities @ parities(every).double(), precision=1e-5)


def test_the_mean_over_drawn_images_is_the_mean(binary, agrees):
    module, maps, every, probabilities = binary
    means = module(maps.expand(20_000, -1, -1, -1)).mean
    assert len(means[:, 0, -1, -1].unique()) > 10  # along each image its own
    agrees(means.flatten(1), probabilities @ every.flatten(1).double(), precision=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("base", BASES, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_pixel_by_pixel_the_output_is_that_of_one_pass(base, training):
    """Over the finished image, which is the same while training."""
    module, maps = made(base).train(training), maps_of(2, 3)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    x, output = module(maps)._drawn(torch.Size((4, 2, 3)))
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert x.shape == (4, 2, 3, CHANNELS, HEIGHT, WIDTH)
    once = module.net(maps.expand(4, -1, -1, -1, -1, -1).flatten(0, 2), x.flatten(0, 2))
    torch.testing.assert_close(output.flatten(0, 2), once, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module(maps).log_prob(x), module.base(output).log_prob(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("base", BASES, ids=str)
def test_many_are_scored_as_one_by_one(base):
    module, maps, x = made(base), maps_of(3, 2), images(2)
    one_by_one = [[module(m).log_prob(i) for m, i in zip(row, x, strict=True)] for row in maps]
    scored = module(maps).log_prob(x)
    torch.testing.assert_close(scored, torch.tensor(one_by_one), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module(maps).log_prob(x[:1]), module(maps).log_prob(x[:1].expand(2, -1, -1, -1)))


@torch.no_grad()
def test_pieces_of_an_evaluation_make_no_difference(monkeypatch):
    module, maps, x = made(), maps_of(7), images(7)
    whole, calls = module(maps).log_prob(x), []
    module.net.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setitem(pixel.VALUES, "cpu", 2 * 12 * HEIGHT * WIDTH)
    torch.testing.assert_close(module(maps).log_prob(x), whole)
    assert len(calls) == 4


@pytest.mark.parametrize("base", [*BASES[:-1], {"kind": "normal", "fit": "learnable"}], ids=str)
def test_every_weight_learns(base):
    module, maps = made(base).train(), maps_of(6).requires_grad_()
    (-module(maps).log_prob(images(6)).mean()).backward()
    assert all(p.grad.isfinite().all() and (p.grad != 0).any() for p in module.parameters())
    assert (maps.grad != 0).any(0).all()


def test_a_base_that_fits_the_batch_does_so_here():
    module = made({"kind": "normal", "fit": "optimal"}).train()
    module(maps_of(6)).log_prob(images(6))
    assert module.base.log_sigma < 0


@torch.no_grad()
def test_under_bf16_probabilities_and_draws_are_float32():
    module, maps, x = made(), maps_of(5), images(5)
    expected, mean = module(maps).log_prob(x), module(maps).mean
    with torch.autocast("cpu", torch.bfloat16):
        p = module(maps)
        score, along = p.log_prob(x), p.mean
    assert score.dtype == along.dtype == p.sample().dtype == torch.float32
    assert not torch.equal(score, expected)  # the network is in bf16
    torch.testing.assert_close(score, expected, rtol=2e-2, atol=0)
    torch.testing.assert_close(along, mean)  # draws are not


@torch.no_grad()
def test_the_mean_is_without_chance_and_takes_none_from_others():
    p = made()(maps_of(5))
    before = torch.get_rng_state()
    assert torch.equal(p.mean, p.mean)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(p.sample(), p.sample())


@pytest.mark.parametrize("base", ["pixel", "perceptual"])
def test_its_base_is_a_likelihood_of_pixels(base):
    with pytest.raises(UsageError, match=r"its base is a likelihood of single pixels; take one such as bernoulli"):
        build("likelihood", {"kind": "pixel", "base": base}, x_shape=(1, 2, 2))


@pytest.mark.parametrize(("moment", "shown"), [(-1.0, [0, 1, 1, 1, 1]), (60.0, [])])
def test_a_bar_is_shown_after_a_moment(monkeypatch, moment, shown):
    updates = []

    class Bar:
        def __init__(self, description: str, total: int) -> None:
            assert (description, total) == ("drawing pixel by pixel", HEIGHT)

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_) -> None:
            assert sum(updates) == HEIGHT

        def update(self, rows: int) -> None:
            updates.append(rows)

    monkeypatch.setattr(masked, "MOMENT", moment)
    monkeypatch.setattr(masked, "Bar", Bar)
    made()(maps_of(2)).sample()
    assert updates == shown


def test_a_run_is_trained_scored_and_sampled(tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    run = vaelab.train(str(recipe), run=tmp_path / "run", device="cpu", quiet=True)
    values = vaelab.evaluate(run, device="cpu", metrics=["likelihood"])["metrics"]["likelihood"]["values"]
    assert values["bits_per_dim"] == pytest.approx(-values["iwae"] / 64 / math.log(2))  # no density, so no 8 bits more
    assert vaelab.sample(run, 3, device="cpu").shape == (3, 1, 8, 8)


@torch.no_grad()
def test_means_of_other_latents_have_other_noise():
    """Two batches are no copies of one draw; the same batch is drawn alike."""
    module = build("likelihood", {"kind": "pixel", "channels": 8, "layers": 2}, x_shape=(1, 6, 6)).eval()
    first, second = 1e-4 * torch.randn(2, 4, 2, 6, 6)
    drawn = [module(maps) for maps in (first, second, first)]
    one, two, again = (p.mean for p in drawn)
    assert torch.equal(one, again)
    assert (one - two).abs().max() > 1e-3  # of maps that hardly differ


def test_maps_of_each_level_fit_a_conditional_pixelhvae():
    model = {"latent_dim": [2, 3], "backbone": {"kind": "hierarchical_conv", "decode": "maps"}}
    model |= {"posterior": "two_level", "prior": "two_level", "condition": ["encoder", "decoder"]}
    model["likelihood"] = {"kind": "pixel", "channels": 4, "layers": 2}
    built = Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": model}).build_model((3, 8, 8), classes=4)
    assert built(torch.rand(2, 3, 8, 8).round(), torch.tensor([0, 3])).log_px.shape == (1, 2)
