"""The flow, and the fit that it shares with the second VAE."""

import pytest
import torch
from torch import nn

from vaelab.data.source import Split
from vaelab.errors import UsageError
from vaelab.registry.schema import build
from vaelab.samplers.fitting import fit


def test_the_fit_finds_the_minimum_and_leaves_it_alone(agrees):
    """The least squares of noisy points is their mean."""
    module = nn.Linear(1, 1, bias=False)
    batches = [3 + torch.randn(100, 1) for _ in range(500)]
    with torch.no_grad():
        fit(module, lambda z: (z - module.weight).square().mean(), batches, len(batches), 0.05)
    agrees(torch.cat(batches[250:]) - module.weight, 0.0)
    assert not module.training
    assert not module.weight.requires_grad


def test_a_fit_that_diverges_says_so():
    module = nn.Linear(1, 1)
    with pytest.raises(UsageError, match=r"diverged at lr 0\.1; try a tenth of it"):
        fit(module, lambda z: module(z).log().sum() * float("nan"), [torch.ones(1, 1)], 1, 0.1)


@pytest.mark.parametrize("kind", ["flow", "two_stage"])
def test_one_latent_dimension_will_do(linear_gaussian, kind):
    model = linear_gaussian()
    model.posterior.gain.data, model.posterior.bias.data = model.posterior.gain[:1].data, torch.zeros(1).double()
    model.posterior.log_std.data = torch.zeros(1).double()
    split = Split(torch.randint(0, 255, (20, 1, 2, 2), dtype=torch.uint8))
    density = build("sampler", {"kind": kind, "steps": 3}, model=model, split=split)
    z = density.sample((11,))
    assert (z.shape, z.dtype) == ((11, 1), torch.float64)
    assert z.isfinite().all()
