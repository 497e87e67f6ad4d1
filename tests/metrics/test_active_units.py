"""Active units of a posterior made by hand."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace

from vaelab.data.source import Split
from vaelab.distributions import diagonal_normal
from vaelab.metrics import active_units as module
from vaelab.metrics.active_units import active_units

N = 200
GREY = torch.arange(N, dtype=torch.uint8)


class ByHand(nn.Module):
    """Posterior N(slope · (x − mean of x), σ²) in six dimensions; x is the image's only pixel, spread to variance 1."""

    slopes = torch.tensor([1.0, 0.0, 0.003, 0.05, 1.0, 0.2])
    stds = torch.tensor([0.1, 1.0, 0.0001, 1.0, 8.0, 1.0])

    def __init__(self, prior: Distribution | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.prior = prior or diagonal_normal(torch.zeros(6), torch.zeros(6))

    def q_z(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        grey = GREY.double() / 255
        standard = (x.flatten(1).double() - grey.mean()) / grey.std()
        return diagonal_normal((standard * self.slopes).float(), self.stds.log().expand(len(x), -1))

    def p_z(self) -> Distribution:
        return self.prior


@pytest.fixture
def split() -> Split:
    return Split(GREY.reshape(N, 1, 1, 1))


def test_three_counts(split):
    values = active_units(ByHand(), split)
    # Var u = slope²: 1, 0, 9e-6, 0.0025, 1, 0.04; above 0.01 are the first, the fifth and the last.
    assert values["active_units"] == 3
    # KL of the third is −log 10⁻⁴ − ½ = 8.7 nats, of the fourth 0.0012, of the last 0.02.
    assert values["active_units_kl"] == 3
    # Shares 0.99, 0, 0.999, 0.0025, 0.015, 0.038.
    assert values["active_units_ratio"] == 2
    assert values["latent_dim"] == 6


@pytest.mark.parametrize(
    ("option", "name", "below", "above"),
    [
        ("variance", "active_units", 0.0399, 0.0401),
        ("nats", "active_units_kl", 0.0195, 0.0205),
        ("ratio", "active_units_ratio", 0.038, 0.039),
    ],
)
def test_thresholds_are_options(split, option, name, below, above):
    """On either side of the last dimension: variance 0.04, KL ½ · 0.04 · 199/200, share 0.04/1.04."""
    counts = [active_units(ByHand(), split, **{option: limit})[name] for limit in (below, above)]
    assert counts[0] == counts[1] + 1


def test_batches_do_not_change_the_counts(split, monkeypatch):
    """Burda's covariance is over the whole test set, not the mean of those of batches."""
    whole = active_units(ByHand(), split)
    monkeypatch.setattr(module, "batches", lambda model, images: (part.float() / 255 for part in images.split(7)))
    assert active_units(ByHand(), split) == whole


def test_no_closed_form_is_no_number(split):
    values = active_units(ByHand(Independent(Laplace(torch.zeros(6), 1.0), 1)), split)
    assert math.isnan(values["active_units_kl"])
    assert values["active_units"] == 3
