"""Laws of every backbone: images of the sizes it names, and every weight learns whatever the likelihood."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from vaelab.backbones.resnet_attention import SelfAttention
from vaelab.data.scale import Scale
from vaelab.errors import UsageError
from vaelab.likelihoods import perceptual
from vaelab.nn.gated import GatedConv
from vaelab.recipe.recipe import Recipe
from vaelab.registry import part
from vaelab.registry.schema import build, defaults
from vaelab.roles import Growth

SIZES = [(28, 28), (28, 20), (7, 9), (32, 32), (64, 64)]
LATENT_DIM, LEVELS = 3, (1, 1, 1)
REFUSALS = r"images (have|are|must).*; .*resize|a latent for each of its . stages.*; set "


def fits(backbone: dict, height: int, width: int) -> bool:
    """Whether a backbone promises to take images of this size."""
    options = defaults(part("backbone", backbone["kind"])) | backbone
    factor = 2 ** len(options.get("channels", ()))
    match backbone["kind"]:
        case "conv" | "vampalign_conv":
            return min(height, width) >= factor
        case "resnet_attention":
            return height % factor == width % factor == 0
        case "vampalign_resnet":
            return height == width and height in (32, 64, 128)
        case "progressive":
            return height == width >= 4 and height.bit_count() == 1
        case "progressive_residual":
            return height == width == 32  # a latent for each of its stages: three from 8 pixels on
    return True


def some_shape(backbone: dict) -> tuple[int, int, int]:
    """A small image that a backbone takes, with an odd side where it may have one."""
    return next((1, *size) for size in [(9, 8), (16, 8), (32, 32)] if fits(backbone, *size))


def make(backbone: dict, shape: tuple[int, int, int], out_channels: int = 1) -> tuple[nn.Module, nn.Module]:
    return build("backbone", backbone, x_shape=shape, latent_dim=LATENT_DIM, out_channels=out_channels, levels=LEVELS)


@torch.no_grad()
def check_shapes_or_refusal(backbone: dict, shape: tuple[int, int, int], out_channels: int) -> None:
    if not fits(backbone, *shape[1:]):
        with pytest.raises(UsageError, match=REFUSALS) as refusal:
            make(backbone, shape)
        assert "\n" not in str(refusal.value)
        return
    encoder, decoder = make(backbone, shape, out_channels)
    features = encoder(torch.rand(2, *shape))
    assert (features.ndim, len(features)) == (2, 2)
    assert decoder(torch.randn(2, LATENT_DIM)).shape == (2, out_channels, *shape[1:])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_image_is_modelled_or_refused_in_one_sentence(backbone, size, channels):
    check_shapes_or_refusal(backbone, (channels, *size), 2 * channels)


@given(shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_so_is_one_of_any_size(backbone, shape):
    check_shapes_or_refusal(backbone, shape, shape[0])


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        ({"kind": "conv", "channels": [4] * 3}, (7, 9), r"need sides of 8 pixels or more, the images have \(7, 9\)"),
        ({"kind": "vampalign_resnet"}, (28, 20), "they are 28 × 20; resize or pad them to 32 × 32$"),
        ({"kind": "vampalign_resnet"}, (65, 64), "they are 65 × 64; resize or pad them to 128 × 128$"),
        ({"kind": "vampalign_resnet", "width": 12, "norm": "group"}, (32, 32), "12 channels do not divide.*; try 16$"),
        ({"kind": "resnet_attention"}, (28, 33), "divide by 16, the images are 28 × 33; resize or pad them to 32 × 48"),
        (
            {"kind": "resnet_attention", "channels": [9]},
            (8, 8),
            "9 channels do not divide.*; try 16$",
        ),
        ({"kind": "conv", "channels": []}, (8, 8), "channels needs one entry or more"),
        ({"kind": "resnet_attention", "channels": []}, (8, 8), "channels needs one entry or more"),
    ],
    ids=str,
)
def test_a_refusal_says_what_would_fit(net, size, message):
    with pytest.raises(UsageError, match=message):
        make(net, (1, *size))


def test_every_weight_learns_with_every_likelihood(backbone, likelihood, monkeypatch):
    """At the start, and again after one step; a perceptual distance, whose weights are large, is one of pixels here."""
    monkeypatch.setattr(perceptual, "_lpips", lambda *_: SimpleNamespace(features=lambda x: x.flatten(1)))
    posterior = "residual" if backbone["kind"] == "progressive_residual" else "gaussian"
    of_recipe = {k: v for k, v in likelihood.items() if k != "grey_levels"}  # which the images' scale decides
    scale = Scale(0, likelihood.get("grey_levels", 256) - 1, "uint16")
    parts = {"backbone": backbone, "likelihood": of_recipe, "posterior": posterior}
    shape = some_shape(backbone)
    model = (
        Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": {"latent_dim": list(LEVELS), **parts}})
        .build_model(shape, scale=scale)
        .train()
    )
    x = torch.rand(16, *shape).round()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4)
    for _ in range(2):
        optimiser.zero_grad()
        for _ in stages(model):
            (-model(x).log_w.mean()).backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not dead
        assert all(p.grad.isfinite().all() for p in model.parameters())
        nn.utils.clip_grad_norm_(model.parameters(), 1e3)
        optimiser.step()


def stages(model: nn.Module) -> Iterator[None]:
    """A model that grows in the middle of each fade-in and when complete; any other once."""
    for growth in (m for m in model.modules() if isinstance(m, Growth)):
        for stage in range(growth.stages):
            growth.at(stage * growth.stage_steps + growth.fade_steps // 2)
            yield
        growth.at(growth.settled)
    yield


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(backbone):
    shape = some_shape(backbone)
    encoder, decoder = (module.eval() for module in make(backbone, shape))
    x, z = torch.rand(4, *shape), torch.randn(4, LATENT_DIM)
    for module, batch in ((encoder, x), (decoder, z)):
        torch.testing.assert_close(module(batch)[1:2], module(batch[1:2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("given", "hidden"), [({"width": 5, "depth": 3}, 3), ({"width": 7}, 1)])
def test_width_and_depth_are_those_of_both_sides(given, hidden):
    for module in make({"kind": "mlp", **given}, (1, 4, 4)):
        inner = [m for m in module if isinstance(m, nn.Linear) and m.out_features == given["width"]]
        assert len(inner) == hidden


@pytest.mark.parametrize(
    ("net", "shape", "latent_dim", "millions"),
    [
        ({"kind": "vampalign_resnet"}, (3, 64, 64), 256, (8.50, 6.41)),
        ({"kind": "vampalign_conv"}, (3, 64, 64), 256, (2.79, 1.74)),
        ({"kind": "vampalign_conv", "channels": [32, 64, 128]}, (1, 32, 32), 40, (0.33, 0.25)),
        ({"kind": "resnet_attention"}, (3, 32, 32), 128, (8.87 + 0.52, 3.67)),
    ],
    ids=str,
)
def test_as_many_weights_as_in_the_systems_they_are_from(net, shape, latent_dim, millions):
    """With the encoder's two linear heads."""
    with torch.device("meta"):
        nets = build("backbone", net, x_shape=shape, latent_dim=latent_dim, out_channels=shape[0])
        heads = nn.Linear(nets[0].eval()(torch.zeros(1, *shape)).shape[1], 2 * latent_dim)
    encoder, decoder, head = (sum(p.numel() for p in net.parameters()) for net in (*nets, heads))
    assert ((encoder + head) / 1e6, decoder / 1e6) == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(("side", "features"), [(32, 4), (64, 8), (128, 8)])
def test_residual_stages_end_at_four_pixels_and_eight_widths(side, features):
    with torch.device("meta"):
        encoder, _ = make({"kind": "vampalign_resnet", "width": 2}, (1, side, side))
        assert encoder.eval()(torch.zeros(1, 1, side, side)).shape == (1, 2 * features * 4 * 4)


@torch.no_grad()
def test_attention_knows_no_order_of_pixels():
    layer, x = SelfAttention(8), torch.randn(2, 8, 3, 5)
    order = torch.randperm(15)

    def shuffled(maps: torch.Tensor) -> torch.Tensor:
        return maps.flatten(2)[..., order].unflatten(2, (3, 5))

    torch.testing.assert_close(layer(shuffled(x)), shuffled(layer(x)))
    others = layer(torch.cat([x[..., :4], x[..., 4:] + 1], -1))[..., :4]
    assert not torch.allclose(others, layer(x)[..., :4])  # each pixel sees all


@torch.no_grad()
def test_a_gated_convolution_is_the_product_of_two():
    layer, x = GatedConv(2, 3, 5, stride=2), torch.randn(4, 2, 7, 8)
    (a, b), (c, d) = layer.conv.weight.chunk(2), layer.conv.bias.chunk(2)
    value, gate = (nn.functional.conv2d(x, *pair, stride=2, padding=2) for pair in ((a, c), (b, d)))
    torch.testing.assert_close(layer(x), value * gate.sigmoid())
    assert layer(x).shape == (4, 3, 4, 4)


def test_gated_convolutions_end_in_the_features_of_the_paper():
    for size, features in (((28, 28), 294), ((28, 20), 210), ((32, 32), 384)):
        encoder, _ = make({"kind": "gated_conv"}, (1, *size))
        assert encoder(torch.zeros(1, 1, *size)).shape == (1, features)
