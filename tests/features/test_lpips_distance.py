"""LPIPS by its formula, by its authors' numbers and by their package."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import conv2d, interpolate, normalize

from vaelab.features.lpips import LPIPS, SIDE

NETS = ["alex", "squeeze", "vgg"]


@pytest.fixture
def examples(real, monkeypatch) -> list[torch.Tensor]:
    """The authors' reference and its two distortions, with real weights."""
    monkeypatch.setenv("VAELAB_DATA", str(real("weights")))
    folder = real("lpips_examples") / "lpips_examples"
    images = [np.array(Image.open(folder / f"ex_{name}.png").convert("RGB")) for name in ("ref", "p0", "p1")]
    return [torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in images]


@pytest.mark.parametrize("net", NETS)
def test_formula(random_lpips, net):
    distance = random_lpips(net)
    a, b = torch.rand(2, 2, 3, SIDE, SIDE + 7)
    expected = torch.zeros(2)
    for x, y, root in zip(distance.network(a), distance.network(b), distance.heads, strict=True):
        gap = normalize(x, dim=1) - normalize(y, dim=1)
        expected += conv2d(gap.square(), root.square()).mean((1, 2, 3))
    torch.testing.assert_close(distance(a, b), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("net", NETS)
def test_it_is_a_distance_that_passes_finite_gradients_to_images_alone(random_lpips, net):
    distance = random_lpips(net)
    a, b = torch.rand(3, 1, 12, 9, requires_grad=True), torch.rand(3, 3, 12, 9)
    value = distance(a, b)
    assert value.shape == (3,)
    assert (value > 0).all()
    assert torch.equal(distance(a, a), torch.zeros(3))
    assert torch.equal(value, distance(b, a))
    value.sum().backward()
    assert a.grad.isfinite().all()
    assert all((image != 0).any() for image in a.grad)
    assert not any(p.requires_grad for p in distance.parameters())
    assert not distance.features(b).requires_grad


def test_images_without_features_pass_finite_gradients(random_lpips):
    distance = random_lpips("squeeze")
    for p in distance.network.parameters():
        p.zero_()
    a = torch.rand(2, 1, 8, 8, requires_grad=True)
    value = distance(a, torch.rand(2, 1, 8, 8))
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2))
    assert a.grad.isfinite().all()


def test_images_of_the_least_side_are_left_as_they_are(random_lpips):
    distance, x = random_lpips("squeeze"), torch.rand(1, 1, 28, 20)
    larger = interpolate(x, (round(28 * SIDE / 20), SIDE), mode="bilinear")
    assert torch.equal(distance.features(x), distance.features(larger))


def test_the_authors_numbers(examples):
    reference, p0, p1 = examples
    distance = LPIPS("squeeze")
    assert distance(reference, p0).item() == pytest.approx(0.7112, abs=5e-5)
    assert distance(reference, p1).item() == pytest.approx(0.1479, abs=5e-5)
    assert distance(reference, reference).item() == 0


def test_bfloat16_is_close(examples):
    """bfloat16 keeps 8 binary digits, so layers are off by about 2⁻⁹ each, and distances by a hundredth at most."""
    reference, p0, p1 = examples
    distance = LPIPS("squeeze")
    with torch.autocast("cpu", torch.bfloat16):
        near, far = distance(reference, p1), distance(reference, p0)
    assert near.dtype == torch.float32
    assert near.item() == pytest.approx(0.1479, rel=1e-2)
    assert far.item() == pytest.approx(0.7112, rel=1e-2)


def test_more_blur_is_farther(examples):
    reference = examples[0]
    blurred = [interpolate(reference, (side, side), mode="area") for side in (32, 16, 8, 4)]
    distance = LPIPS("squeeze")
    values = [distance(reference, interpolate(x, (64, 64), mode="bilinear")).item() for x in blurred]
    assert values == sorted(values)
    assert values[0] > 0


def test_it_equals_the_authors_package(examples, monkeypatch):
    """Their heads, scaling and sums, around our SqueezeNet in place of torchvision's, which is not installed."""
    distance = LPIPS("squeeze")
    models = types.ModuleType("torchvision.models")
    models.squeezenet1_1 = lambda pretrained: distance.network
    stub = types.ModuleType("torchvision")
    stub.models = models
    monkeypatch.setitem(sys.modules, "torchvision", stub)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    package = pytest.importorskip("lpips", reason="the lpips package is not installed")
    theirs = package.LPIPS(net="squeeze", verbose=False)
    for other in (*examples[1:], torch.rand(4, 3, 64, 64)):
        expected = theirs(examples[0], other, normalize=True).flatten()
        torch.testing.assert_close(distance(examples[0], other), expected, rtol=1e-5, atol=1e-6)
