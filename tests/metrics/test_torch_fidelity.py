"""Distances equal torch-fidelity's on the same features; torchvision, which these parts of it import idly, is empty."""

import importlib
import sys
from types import ModuleType

import pytest
import torch

from vaelab.metrics.frechet import frechet_distance
from vaelab.metrics.kernel import kernel_distance
from vaelab.metrics.precision_recall import overlap

UNUSED = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")


@pytest.fixture
def fidelity(monkeypatch):
    """`fidelity("metric_fid")` imports that module; afterwards all is forgotten again."""
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity is not installed (pip install --no-deps torch-fidelity)")
    if importlib.util.find_spec("torchvision") is None:
        for name in UNUSED:
            module = ModuleType(name)
            module.__getattr__ = lambda attribute: type(attribute, (), {})
            monkeypatch.setitem(sys.modules, name, module)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
    before = set(sys.modules)
    yield lambda name: importlib.import_module(f"torch_fidelity.{name}")
    for name in set(sys.modules) - before:
        if name.startswith("torch_fidelity"):
            del sys.modules[name]


def features(n: int, m: int, dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, dims) @ torch.randn(dims, dims), 0.9 * torch.randn(m, dims) @ torch.randn(dims, dims) + 0.1


@pytest.mark.parametrize(("n", "m", "dims"), [(500, 400, 32), (100, 300, 200)])
def test_frechet(fidelity, n, m, dims):
    module = fidelity("metric_fid")
    real, fake = features(n, m, dims)
    statistics = [module.fid_features_to_statistics(x.double()) for x in (real, fake)]
    theirs = module.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(real, fake).value == pytest.approx(theirs, rel=1e-6)


def test_kernel(fidelity):
    module = fidelity("metric_kid")
    real, fake = features(300, 300, 32)
    theirs = module.kid_features_to_metric(
        real.double(), fake.double(), kid_subsets=1, kid_subset_size=300, verbose=False
    )
    assert kernel_distance(real, fake).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


def test_subsets_of_the_published_kernel_distance_estimate_the_same(fidelity, agrees):
    module = fidelity("metric_kid")
    real, fake = (x / 4 for x in features(400, 400, 8))
    subsets = [
        module.kid_features_to_metric(real, fake, kid_subsets=1, kid_subset_size=50, rng_seed=seed, verbose=False)
        for seed in range(100)
    ]
    agrees(torch.tensor([s["kernel_inception_distance_mean"] for s in subsets]), kernel_distance(real, fake).value)


def test_precision_and_recall(fidelity):
    real, fake = features(400, 300, 4)
    theirs = fidelity("metric_prc").prc_features_to_metric(
        fake, real, prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=False, verbose=False
    )
    ours = overlap(real, fake, 3)
    assert ours.precision.float().mean().item() == pytest.approx(theirs["precision"])
    assert ours.recall.float().mean().item() == pytest.approx(theirs["recall"])
