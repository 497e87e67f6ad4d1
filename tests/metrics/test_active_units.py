"""Active units of a posterior made by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace

from vaelab.data.source import Split
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.metrics import active_units as module
from vaelab.metrics.active_units import active_units
from vaelab.metrics.batches import batches
from vaelab.recipe.recipe import Recipe

N = 200
GREY = torch.arange(N, dtype=torch.uint8)


class ByHand(nn.Module):
    """Posterior N(slope · (x − mean of x), σ²) in six dimensions; x is the image's only pixel, spread to variance 1."""

    classes = 0

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

    def p_z(self, y: Tensor | None = None) -> Distribution:
        return self.prior


@pytest.fixture
def split() -> Split:
    return Split(GREY.reshape(N, 1, 1, 1))


def test_three_counts(split):
    values = active_units(ByHand(), split).values
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
    counts = [active_units(ByHand(), split, **{option: limit}).values[name] for limit in (below, above)]
    assert counts[0] == counts[1] + 1


def test_batches_do_not_change_the_counts(split, monkeypatch):
    """Burda's covariance is over the whole test set, not the mean of those of batches."""
    whole = active_units(ByHand(), split)
    monkeypatch.setattr(module, "batches", lambda model, split: batches(model, split, 7))
    assert active_units(ByHand(), split) == whole


def test_no_closed_form_is_no_number(split):
    found = active_units(ByHand(Independent(Laplace(torch.zeros(6), 1.0), 1)), split)
    assert "active_units_kl" not in found.values
    assert not found.curves
    assert found.values["active_units"] == 3
    assert found.notes[0].startswith("2 of 6 dimensions carry information")  # by the share of variance


def test_the_curve_is_the_kl_of_each_dimension(split):
    """½ (slope² · 199/200 + σ² − 1) − log σ."""
    slope, std = ByHand.slopes.double(), ByHand.stds.double()
    expected = (slope.square() * (N - 1) / N + std.square() - 1) / 2 - std.log()
    curve = torch.tensor(active_units(ByHand(), split).curves["kl_per_dimension"]).double()
    assert curve[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(curve[:, 1], expected, rtol=1e-4, atol=1e-5)


def test_a_partial_collapse_in_words(split):
    report, mismatch = active_units(ByHand(), split).notes
    assert report.startswith("3 of 6 dimensions carry information; the posterior has collapsed onto the prior in 3 ")
    assert "(KL below 0.05 nats): z2, z4, z6; a lower beta" in report
    # The third dimension's means lie within 0.003 and are read off exactly; the last one's vary and say little.
    assert "less than 0.01 carry information in z3; means vary, but carry no information in z6" in mismatch


@pytest.mark.parametrize(("slope", "words"), [(3.0, "all 6 dimensions"), (0.0, "total collapse: none of 6")])
def test_health_and_total_collapse_in_words(split, slope, words):
    model = ByHand()
    model.slopes, model.stds = torch.full((6,), slope), torch.ones(6)
    (report,) = active_units(model, split).notes
    assert report.startswith(words)


def test_a_single_image_has_no_variance(split):
    with pytest.raises(NotApplicable, match="two images or more"):
        active_units(ByHand(), split[:1])


def test_a_collapsed_flow_posterior_has_no_active_unit():
    """Its means are known by draws, whose chance is not spread over the images."""
    parts = {"latent_dim": 6, "backbone": {"kind": "mlp", "width": 4}, "posterior": "flow"}
    model = Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": parts}).build_model((1, 4, 4))
    for parameter in model.posterior.base.head.parameters():
        parameter.data.zero_()
    found = active_units(model, Split(torch.randint(256, (500, 1, 4, 4), dtype=torch.uint8))).values
    assert found["active_units"] == found["active_units_ratio"] == 0
