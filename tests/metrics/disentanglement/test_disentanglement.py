"""The metric: which factors it takes, and what it says of them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaelab.data.source import Dataset, Split
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.metrics.disentanglement import disentanglement
from vaelab.metrics.disentanglement.factors import discretised


class Pixels(nn.Module):
    """The posterior's means are the pixels; the prior is N(0, 1)."""

    classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def q_z(self, x: Tensor, y: Tensor | None = None):
        return diagonal_normal(x.flatten(1) * 4 - 2, torch.zeros(x[0].numel()))

    def p_z(self, y: Tensor | None = None):
        return diagonal_normal(torch.zeros(4), torch.zeros(4))


def subject(factors: Tensor | None, pixels: Tensor) -> tuple[Split, Dataset]:
    split = Split(pixels[:, None, None].byte(), None, factors)
    return split, Dataset("toy", split, split, split, factor_names=("shape", "place", "still"))


@pytest.fixture
def perfect() -> tuple[Split, Dataset]:
    """Three shapes, 250 places, a factor that is always 1; pixels are shape, place and two nearly still ones."""
    count = 3000
    shape, place = torch.arange(count) % 3, torch.arange(count) // 3 % 250
    factors = torch.stack([shape, place / 250, torch.ones(count)], 1).float()
    return subject(factors, torch.stack([shape * 100, place, 7 + shape % 2, torch.arange(count) % 7], 1))


def test_a_perfect_model_and_its_protocol(perfect):
    measured = disentanglement(Pixels(), *perfect)
    assert measured == disentanglement(Pixels(), *perfect)
    assert measured.protocol["values_per_factor"] == {"shape": 3, "place": 10}
    assert measured.protocol["active_dimensions"] == 2
    assert measured.protocol["images"] == 3000
    assert measured.notes == ["factors that do not vary are left out: still"]
    assert measured.values["factor_vae"] == 1
    assert all(0 <= value <= 1 for value in measured.values.values())
    names = {"mig", "sap", "modularity", "factor_vae", "beta_vae"}
    assert set(measured.values) == names | {f"dci_{n}" for n in ("disentanglement", "completeness", "informativeness")}


def test_few_images_are_spoken_of(perfect):
    measured = disentanglement(Pixels(), *perfect, images=100, votes=100)
    assert measured.protocol["images"] == 100
    assert "100 images fill 200 cells" in measured.notes[-1]


@pytest.mark.parametrize("factors", [None, torch.ones(20, 3), torch.arange(20)[:, None] * torch.tensor([1.0, 0, 0])])
def test_two_factors_must_vary(factors):
    with pytest.raises(NotApplicable, match="factors"):
        disentanglement(Pixels(), *subject(factors, torch.zeros(20, 4)))


def test_many_values_become_groups_of_equal_size():
    few, many = np.array([-1.0, 5.5] * 50), np.linspace(0, 1, 100) ** 3
    integers = discretised(np.stack([few, many], 1), levels=4)
    assert integers[:, 0].tolist() == [0, 1] * 50
    assert np.bincount(integers[:, 1]).tolist() == [25] * 4
    assert (np.diff(integers[:, 1]) >= 0).all()


@pytest.mark.parametrize("count", [4, 600])
def test_a_collapsed_model_scores_nothing(count):
    factors = torch.stack([torch.arange(count) % 2, torch.arange(count) // 2 % 2, torch.zeros(count)], 1).float()
    values = disentanglement(Pixels(), *subject(factors, torch.full((count, 4), 9.0)), votes=100).values
    chance = {"factor_vae": 0.5, "beta_vae": 0.5, "dci_informativeness": values["dci_informativeness"]}
    assert values == pytest.approx(dict.fromkeys(values, 0) | chance)
