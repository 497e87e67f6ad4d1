"""Where a model begins: at the mean of its images, and with images in its prior."""

import pytest
import torch

from vaelab.data.source import Split
from vaelab.recipe.recipe import Recipe
from vaelab.training.initialise import initialise, initialise_bias

DARK = Split(torch.randint(0, 40, (300, 3, 32, 32), dtype=torch.uint8))
BACKBONES = [
    {"kind": "mlp", "width": 8},
    {"kind": "gated_conv", "width": 8},
    {"kind": "conv", "channels": [4, 8]},
    {"kind": "vampalign_resnet", "width": 8},
    {"kind": "resnet_attention", "channels": [8, 16]},
]


def model_of(backbone: dict, likelihood: str | dict = "normal", condition: tuple[str, ...] = ()):
    model = {"latent_dim": 4, "backbone": backbone, "likelihood": likelihood, "condition": list(condition)}
    return (
        Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": model}).build_model((3, 32, 32), classes=3).eval()
    )


@torch.no_grad()
@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b["kind"])
@pytest.mark.parametrize("likelihood", ["normal", "bernoulli", "logistic"])
def test_the_first_images_are_near_the_mean(backbone, likelihood):
    """Wherever the last bias stands, and with scales beside the locations."""
    model = model_of(backbone, likelihood)
    x = DARK.images.float() / 255
    before = (model.reconstruct(x[:50]).mean() - x.mean()).abs()
    initialise(model, DARK, 0, "data")
    after = (model.reconstruct(x[:50]).mean() - x.mean()).abs()
    assert before > 0.3
    assert after < 0.08


def test_a_linear_decoder_begins_at_the_mean_image():
    """Pixel by pixel, also for a decoder that sees classes; black and white stay where the sigmoid has a gradient."""
    model = model_of({"kind": "mlp", "width": 8}, condition=("decoder",))
    images = torch.zeros(7, 3, 32, 32, dtype=torch.uint8)
    images[:, :, :16], images[:, 1, 20] = 255, 51
    initialise_bias(model, images)
    bias = [p for n, p in model.decoder.named_parameters() if n.endswith("bias")][-1].view(3, 32, 32).sigmoid()
    torch.testing.assert_close(bias[:, :16], torch.full((3, 16, 32), 0.99))
    torch.testing.assert_close(bias[1, 20], torch.full((32,), 0.2))
    torch.testing.assert_close(bias[:, 25:], torch.full((3, 7, 32), 0.01))


def test_values_without_bounds_begin_at_their_mean():
    model = model_of({"kind": "mlp", "width": 8}, {"kind": "normal", "bounded": False})
    initialise(model, Split(torch.full((7, 3, 32, 32), -3.0)), 0, "data")
    assert (model.reconstruct(torch.zeros(1, 3, 32, 32)).mean() + 3).abs() < 0.1


def test_nothing_changes_unless_asked_for():
    model = model_of(BACKBONES[0])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    initialise(model, DARK, 0, "random")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
