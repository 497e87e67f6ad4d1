"""Laws of every metric: finite numbers by name with intervals around them, the same twice, the model left as it was."""

import math

import pytest
import torch

from vaelab.data.source import Dataset, Split
from vaelab.errors import NotApplicable
from vaelab.metrics.measurement import Measurement
from vaelab.recipe.recipe import Recipe
from vaelab.registry import names
from vaelab.registry.schema import build


@pytest.fixture(scope="module")
def subject():
    """What a metric may ask for: a model, the images it is judged on, their set, images of its own, a device."""
    torch.manual_seed(0)
    recipe = {
        "data": "shapes",
        "train": {"epochs": 1},
        "model": {"latent_dim": 3, "backbone": {"kind": "mlp", "width": 8}},
    }
    model = Recipe.of(recipe).build_model((1, 12, 12)).eval()
    splits = [_split(count) for count in (120, 40, 60)]
    data = Dataset("law", *splits, classes=("a", "b", "c"), factor_names=("size", "turn"))
    fake = torch.randint(0, 256, (60, 1, 12, 12), dtype=torch.uint8)
    return {"model": model, "split": data.test, "data": data, "fake": fake, "device": torch.device("cpu")}


def _split(count: int) -> Split:
    labels, size = torch.arange(count) % 3, torch.arange(count) % 4
    images = (torch.rand(count, 1, 12, 12) < (labels + 1).view(-1, 1, 1, 1) / 4).byte() * 255
    return Split(images, labels, torch.stack([size, labels], -1).float())


@pytest.mark.parametrize("kind", names("metric"))
def test_metrics_are_numbers_and_leave_the_model_alone(subject, kind, real, monkeypatch):
    model = subject["model"]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    try:
        build("metric", kind, **subject)
    except NotApplicable as reason:
        assert "weights" in str(reason), "this subject has all that a metric may ask for"
        monkeypatch.setenv("VAELAB_DATA", str(real("weights")))
    first, second = (build("metric", kind, **subject) for _ in range(2))
    assert isinstance(first, Measurement)
    assert first == second
    assert first.values
    assert all(isinstance(name, str) and isinstance(v, int | float) for name, v in first.values.items())
    assert all(math.isfinite(v) for v in first.values.values())
    for name, (low, high) in first.intervals.items():
        assert low <= first.values[name] <= high
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not model.training
