"""What tests share: fixed seeds, no network, agreement within the Monte Carlo error, a model of known likelihood."""

import gc
import math
import os
from pathlib import Path
from typing import Any

import pooch
import pytest
import requests
import torch
from hypothesis import settings
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaelab.distributions.normal import diagonal_normal
from vaelab.io import places
from vaelab.model import VAE
from vaelab.registry import plugins
from vaelab.roles import Likelihood, Posterior, Prior

REAL = Path(os.environ.get("VAELAB_DATA") or Path(__file__).parents[1].parent / "shared" / "data")

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


def pytest_collection_finish() -> None:
    """The collector of garbage need not look at what was imported, ever again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    """Every test begins with the same random numbers, and with denormals, which training flushes."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The user's cache, empty; a download attempt fails as it does offline."""

    def offline(*_, **__):
        raise requests.ConnectionError("no route to host")

    monkeypatch.delenv("VAELAB_DATA", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(places, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(pooch, "retrieve", offline)
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """A plugin that a test runs is one of that test alone."""
    monkeypatch.setattr(plugins, "_PRESENT", {})


@pytest.fixture
def real():
    """The real data directory, if it holds the set that is asked for."""

    def find(name: str) -> Path:
        if not (REAL / name).is_dir():
            pytest.skip(f"no real data at {REAL / name}")
        return REAL

    return find


@pytest.fixture
def graphs(monkeypatch) -> list[Any]:
    """What `torch.compile` traces from now on; run operator by operator, which spares the seconds of a C++ compiler."""
    from torch._dynamo import lookup_backend  # seconds to import

    traced, compiled = [], torch.compile

    def counted(graph: Any, example: Any) -> Any:
        done = lookup_backend("aot_eager")(graph, example)  # raises for a graph that is traced anew at once
        traced.append(graph)
        return done

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", lambda step, **_: compiled(step, backend=counted))
    return traced


@pytest.fixture
def agrees():
    """`agrees(samples [N, …], expected)`: the mean is the expected value, within the Monte Carlo error."""
    return _agrees


def _agrees(samples: Tensor, expected: Tensor | float, errors: float = 4.5, precision: float = 1e-9) -> None:
    samples = samples.detach().double()
    allowed = errors * samples.std(0) / math.sqrt(len(samples)) + precision
    gap = (samples.mean(0) - expected).abs()
    assert (gap <= allowed).all(), f"off by {(gap / allowed).max().item() * errors:.1f} standard errors"


@pytest.fixture
def linear_gaussian() -> type["LinearGaussian"]:
    """The class of the model below."""
    return LinearGaussian


class LinearGaussian(VAE):
    """x = Wz + b + σε with z ~ N(m, I): four pixels, two latents, p(x) and p(z | x) in closed form, in float64.

    The posterior is exact at `off=0`; otherwise its means and scales are off by about that much.
    """

    sigma = 0.2

    def __init__(self, off: float = 0.0) -> None:
        super().__init__(_Prior(), _Posterior(), _Decoder(), _Normal(self.sigma))
        weight, offset, mean = self.decoder.weight.data, self.decoder.bias.data, self.prior.mean.data
        variance = 1 / (1 + weight.square().sum(0) / self.sigma**2)  # W has orthogonal columns
        gain = variance[:, None] * weight.T / self.sigma**2
        self.posterior.gain.data = gain * (1 + off)
        self.posterior.bias.data = variance * mean - gain @ offset - off / 2
        self.posterior.log_std.data = variance.log() / 2 + off

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) per image [B]."""
        weight = self.decoder.weight
        covariance = weight @ weight.T + self.sigma**2 * torch.eye(4).double()
        return MultivariateNormal(self.decoder.bias + weight @ self.prior.mean, covariance).log_prob(
            x.double().flatten(-3)
        )

    def images(self, count: int) -> Tensor:
        """Images [count, 1, 2, 2] of the model's own."""
        with torch.no_grad():
            return self.p_x(self.p_z().sample((count,))).sample()


class _Prior(Prior):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor([0.3, -0.2]).double())

    def forward(self, posterior: Posterior) -> Independent:
        return diagonal_normal(self.mean, torch.zeros_like(self.mean))


class _Posterior(Posterior):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(2, 4).double())
        self.bias = nn.Parameter(torch.zeros(2).double())
        self.log_std = nn.Parameter(torch.zeros(2).double())

    def forward(self, x: Tensor, y: Tensor | None = None) -> Independent:
        mean = x.double().flatten(-3) @ self.gain.T + self.bias
        return diagonal_normal(mean, self.log_std.expand_as(mean))


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.3, 0.1], [-0.2, 0.2], [0.1, 0.3], [0.4, -0.05]]).double())
        self.weight.data[:, 1] -= self.weight.data[:, 0] * (
            self.weight.data.prod(1).sum() / self.weight.data[:, 0].square().sum()
        )
        self.bias = nn.Parameter(torch.tensor([0.5, 0.4, 0.6, 0.5]).double())

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T + self.bias).unflatten(-1, (1, 2, 2))


class _Normal(Likelihood):
    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, output: Tensor) -> Distribution:
        return Independent(Normal(output, self.sigma), 3)
