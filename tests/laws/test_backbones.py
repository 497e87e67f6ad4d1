"""Laws of every backbone: any image size, and every weight learns whatever the likelihood."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from vaelab.errors import UsageError
from vaelab.recipe import Recipe
from vaelab.registry import build, names

SIZES = [(28, 28), (28, 20), (7, 9), (32, 32), (64, 64)]
LATENT_DIM = 3


def check_shapes(backbone: dict, shape: tuple[int, int, int], out_channels: int) -> None:
    sizes = {"x_shape": shape, "latent_dim": LATENT_DIM, "out_channels": out_channels}
    encoder, decoder = build("backbone", backbone, **sizes)
    features = encoder(torch.rand(2, *shape))
    assert (features.ndim, len(features)) == (2, 2)
    assert decoder(torch.randn(2, LATENT_DIM)).shape == (2, out_channels, *shape[1:])


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_image_size(backbone, size, channels):
    check_shapes(backbone, (channels, *size), 2 * channels)


@torch.no_grad()
@pytest.mark.parametrize("kind", names("backbone"))
@given(shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_image_is_modelled_or_refused_in_one_sentence(kind, shape):
    try:
        check_shapes({"kind": kind, "width": 5}, shape, shape[0])
    except UsageError as error:
        assert kind == "conv"
        assert min(shape[1:]) < 4
        assert "\n" not in str(error)
        assert "give fewer channels or resize" in str(error)


def test_deeper_convolutions_need_larger_images():
    deep = {"kind": "conv", "channels": [4, 4, 4]}
    with pytest.raises(UsageError, match=r"need sides of 8 pixels or more, the images have \(7, 9\)"):
        build("backbone", deep, x_shape=(1, 7, 9), latent_dim=2, out_channels=1)
    build("backbone", deep, x_shape=(1, 8, 9), latent_dim=2, out_channels=1)


def test_convolutions_need_channels():
    with pytest.raises(UsageError, match="channels needs one entry or more"):
        build("backbone", {"kind": "conv", "channels": []}, x_shape=(1, 8, 8), latent_dim=2, out_channels=1)


def test_every_weight_learns_with_every_likelihood(backbone, likelihood):
    """At the start, and again after one step."""
    recipe = Recipe("law", {"model": {"latent_dim": LATENT_DIM, "backbone": backbone, "likelihood": likelihood}})
    model = recipe.build_model((1, 9, 8)).train()
    x = torch.rand(16, 1, 9, 8).round()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4)
    for _ in range(2):
        optimiser.zero_grad()
        (-model(x).log_w.mean()).backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not dead
        assert all(p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(backbone):
    sizes = {"x_shape": (1, 8, 8), "latent_dim": LATENT_DIM, "out_channels": 1}
    encoder, decoder = (module.eval() for module in build("backbone", backbone, **sizes))
    x, z = torch.rand(4, 1, 8, 8), torch.randn(4, LATENT_DIM)
    for module, batch in ((encoder, x), (decoder, z)):
        torch.testing.assert_close(module(batch)[1:2], module(batch[1:2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("given", "hidden"), [({"width": 5, "depth": 3}, 3), ({"width": 7}, 1)])
def test_width_and_depth_are_those_of_both_sides(given, hidden):
    for module in build("backbone", {"kind": "mlp", **given}, x_shape=(1, 4, 4), latent_dim=2, out_channels=1):
        inner = [m for m in module if isinstance(m, nn.Linear) and m.out_features == given["width"]]
        assert len(inner) == hidden
