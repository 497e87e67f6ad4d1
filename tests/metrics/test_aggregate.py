"""The two-sample tests: their statistics by their definitions, their level, their power."""

import math

import pytest
import torch
from torch import Tensor, nn

from vaelab.data.source import Split
from vaelab.distributions.estimates import kolmogorov_smirnov
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.metrics.aggregate import aggregate, critical, mmd

IMAGES = Split(torch.zeros(1500, 1, 2, 2).byte())


class Given(nn.Module):
    """The same posterior for every image, and a standard normal prior."""

    classes = 0

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Parameter(mean), nn.Parameter(std.log())

    def q_z(self, x: Tensor, y: Tensor | None = None):
        return diagonal_normal(self.mean.expand(len(x), -1), self.log_std)

    def p_z(self, y: Tensor | None = None):
        return diagonal_normal(torch.zeros_like(self.mean), torch.zeros_like(self.mean))


def test_mmd_is_its_definition():
    """Sums over pairs, one by one."""
    x, y = torch.randn(4, 2).double(), torch.randn(3, 2).double() + 1
    pooled = torch.cat([x, y])
    width = torch.pdist(pooled).median()

    def mean_kernel(pairs):
        return sum(math.exp(-((a - b).norm() ** 2) / (2 * width**2)) for a, b in pairs) / len(pairs)

    within_x = mean_kernel([(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = mean_kernel([(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = mean_kernel([(a, b) for a in x for b in y])
    assert mmd(x, y)[0] == pytest.approx(within_x + within_y - 2 * between)


def test_mmd_of_equals_has_mean_zero_and_uniform_p(agrees):
    """A p-value of 19 permutations is a multiple of 1/20, each as likely; its mean is 21/40."""
    results = [mmd(torch.randn(30, 3), torch.randn(30, 3), 19) for _ in range(600)]
    statistics, p = torch.tensor(results, dtype=torch.float64).T
    agrees(statistics, 0.0)
    agrees(p, 21 / 40)
    for limit in (1, 2, 5, 10, 15):
        agrees(p <= limit / 20 + 1e-9, limit / 20)


def test_mmd_sees_a_shift_whatever_the_unit():
    x, y = torch.randn(200, 3), torch.randn(200, 3) + 0.5
    torch.manual_seed(1)
    squared, p = mmd(x, y, 99)
    assert p == pytest.approx(1 / 100)
    assert mmd(1000 * x, 1000 * y, 9)[0] == pytest.approx(squared)
    assert mmd(y, x, 9)[0] == pytest.approx(squared)


def test_points_that_are_all_one_do_not_differ():
    assert mmd(torch.ones(5, 2), torch.ones(5, 2), 19) == (pytest.approx(0), 1)


def test_kolmogorov_smirnov_by_hand():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    y = torch.tensor([[1.5, 1.0], [2.5, 1.0]])
    assert kolmogorov_smirnov(x, y).tolist() == [0.5, 1.0]


def test_the_limit_is_exceeded_no_more_often_than_it_says():
    """In any of three dimensions, in 300 trials; the limit is a bound, so that less is right too."""
    limit = critical(200, 3)
    exceeded = sum(
        (kolmogorov_smirnov(torch.randn(200, 3), torch.randn(200, 3)).max() > limit).item() for _ in range(300)
    )
    assert exceeded / 300 < 0.05 + 4.5 * math.sqrt(0.05 * 0.95 / 300)


def test_an_aggregate_that_is_the_prior():
    measured = aggregate(Given(torch.zeros(3), torch.ones(3)), IMAGES, points=500)
    assert measured == aggregate(Given(torch.zeros(3), torch.ones(3)), IMAGES, points=500)
    assert measured.values["aggregate_p"] > 0.05
    assert measured.values["aggregate_ks"] < measured.protocol["ks_limit"]
    assert measured.notes == ["the aggregated posterior and the prior cannot be told apart by these draws"]
    assert (measured.protocol["draws"], measured.protocol["mmd_draws"]) == (1500, 500)


def test_a_shifted_aggregate_and_where_it_is():
    """Of N(1, 1) and N(0, 1) the distance is 2Φ(½) − 1."""
    measured = aggregate(Given(torch.tensor([0.0, 0, 1, 0]), torch.ones(4)), IMAGES, points=500, permutations=99)
    assert measured.values["aggregate_p"] == pytest.approx(0.01)
    expected = math.erf(0.5 / math.sqrt(2))
    assert measured.values["aggregate_ks"] == pytest.approx(expected, abs=critical(1500, 1))
    distances = [distance for _, distance in measured.curves["aggregate_ks_by_dimension"]]
    assert measured.values["aggregate_ks"] == max(distances) == distances[2]
    assert measured.values["aggregate_ks_mean"] == pytest.approx(sum(distances) / 4)
    assert "most in z3 (KS 0." in measured.notes[0]
    assert "z1" not in measured.notes[0]
    assert "the sampler gmm" in measured.notes[0]


def test_one_image_is_too_few():
    with pytest.raises(NotApplicable, match="two images"):
        aggregate(Given(torch.zeros(2), torch.ones(2)), IMAGES[:1])
