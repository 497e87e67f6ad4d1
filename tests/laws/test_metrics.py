"""Laws of every metric: numbers by name, the same twice, from a model that stays as it was."""

import math

import pytest
import torch

from vaelab.data.source import Split
from vaelab.recipe import Recipe
from vaelab.registry import build, names


@pytest.mark.parametrize("kind", names("metric"))
def test_metrics_are_numbers_and_leave_the_model_alone(metric_of, kind):
    model = Recipe("law", {"model": {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 4}}}).build_model(
        (1, 12, 12)
    )
    state = {k: v.clone() for k, v in model.eval().state_dict().items()}
    split = Split(torch.randint(0, 2, (30, 1, 12, 12)).to(torch.uint8) * 255)
    first, second = (metric_of(kind, model, split) for _ in range(2))
    assert first == second
    assert all(isinstance(name, str) and isinstance(v, int | float) for name, v in first.items())
    assert all(math.isfinite(v) for v in first.values())
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not model.training


@pytest.fixture
def metric_of():
    """A metric as a recipe's user calls it, by name."""
    return lambda kind, model, split: build("metric", kind, model=model, split=split)
