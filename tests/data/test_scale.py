"""The rule by which stored values become x: exact where there are levels, undone where it is shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vaelab.data.dataset import Dataset
from vaelab.data.scale import EIGHT_BIT, Scale, scale_of
from vaelab.data.stored import Images
from vaelab.errors import UsageError

SCALES = {
    "8 bits": EIGHT_BIT,
    "12 of 16 bits": Scale(0, 4095, "uint16"),
    "16 bits": Scale(0, 65535, "uint16"),
    "a range": Scale(-1000, 3000, "float32"),
}


@pytest.mark.parametrize("name", SCALES)
def test_values_come_back(name):
    scale = SCALES[name]
    steps = 2000 if scale.levels is None else scale.levels
    values = torch.linspace(scale.low, scale.high, steps, dtype=torch.float64).float()
    values = values.to(getattr(torch, scale.stored))
    x = scale.to_unit(values)
    assert x.dtype == torch.float32 and x.min() == 0 and x.max() == 1
    back = scale.to_values(x)
    assert back.dtype == values.dtype
    if scale.levels:
        assert torch.equal(back.long(), values.long())
    else:
        assert torch.allclose(back, values, rtol=0, atol=(scale.high - scale.low) * 2**-22)


def test_levels_and_bounds_follow_from_what_is_stored():
    assert [scale.levels for scale in SCALES.values()] == [256, 4096, 65536, None]
    assert Scale(0, 4095, "uint16", clip=False).levels is None
    assert [Scale(0, high, "uint16", clip=False).bounded for high in (4095, 65535)] == [False, True]
    assert Scale(0, 1, "float32").bounded and not Scale(0, 1, "float32", clip=False).bounded


def test_what_lies_outside_is_cut_unless_it_is_to_be_kept():
    values = torch.tensor([-5.0, 0, 5, 15])
    assert Scale(0, 10, "float32").to_unit(values).tolist() == [0, 0, 0.5, 1]
    assert Scale(0, 10, "float32", clip=False).to_unit(values).tolist() == [-0.5, 0, 0.5, 1.5]


def images(kind: str) -> torch.Tensor:
    levels = torch.arange(2000).reshape(20, 1, 10, 10)
    return levels.float() - 500 if kind == "float32" else levels.to(getattr(torch, kind))


@pytest.mark.parametrize(
    ("rule", "kind", "low", "high"),
    [
        ("full", "uint16", 0, 65535),
        ("full", "float32", -500, 1499),
        ({"low": 10, "high": 900}, "uint16", 10, 900),
        ({"high": 900.0}, "uint16", 0, 900),
        ({"percentile": (10, 90)}, "float32", -500 + 199.9, -500 + 1799.1),
        ({"percentile": (10, 90)}, "uint16", 200, 1799),
    ],
)
def test_a_rule_finds_its_limits_in_the_training_images(rule, kind, low, high):
    scale = scale_of(rule, images(kind))
    assert (scale.stored, scale.low, scale.high) == (kind, pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_real_numbers_within_0_and_1_stay_as_they_are():
    assert scale_of("full", torch.rand(9, 1, 4, 4) / 2) == Scale(0, 1, "float32")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"clip": False}, "scale takes low and high, or percentile"),
        ({"low": 3, "percentile": [1, 99]}, "scale takes low and high, or percentile"),
        ({"low": 3, "high": 3}, "low 3 is not below high 3"),
        ({"percentile": [99, 1]}, r"percentile \[99, 1\] is no range"),
        ({"lowest": 3}, "lowest"),
        ("brightest", "scale"),
    ],
)
def test_limits_that_are_no_range_are_refused(rule, said):
    with pytest.raises(UsageError, match=said):
        Dataset.of(torch.rand(20, 1, 4, 4), scale=rule)


def test_a_set_of_16_bits_keeps_them():
    x = np.random.default_rng(0).integers(2**16, size=(40, 2, 4, 4)).astype(np.uint16)
    data = Dataset.of(x[:30], valid=x[30:35], test=x[35:])
    assert data.scale == Scale(0, 65535, "uint16") and data.scale.levels == 65536
    assert data.summary.startswith("40 16-bit 2-channel images of 4 × 4")
    assert np.array_equal(data.scale.to_values(data.train.images[:]).numpy(), x[:30])


@pytest.mark.parametrize("lazy", [False, True])
def test_a_set_takes_on_the_scale_of_a_model(lazy):
    values = torch.arange(640).reshape(40, 1, 4, 4).float()
    data = Dataset.of(values)
    held = replace(data, test=replace(data.test, images=InMemory(data.test.images))) if lazy else data
    scale = Scale(-100, 900, "float32")
    moved = held.on(scale)
    assert moved.scale == scale and held.on(data.scale) is held
    assert torch.allclose(moved.test.images[:], (data.scale.to_values(data.test.images[:]) + 100) / 1000, atol=1e-6)
    dim = Dataset.of((values / 4).byte(), scale={"low": 0, "high": 200})
    assert dim.train.images.dtype == torch.float32 and dim.on(EIGHT_BIT).train.images.dtype == torch.uint8
    assert dim.on(EIGHT_BIT).train.images.max() == 159
    with pytest.raises(UsageError, match="arrays are real-valued, and the model takes 16-bit; give it such images"):
        data.on(Scale(0, 65535, "uint16"))


class InMemory(Images):
    def __init__(self, x: torch.Tensor) -> None:
        super().__init__(len(x), x.shape[1:], x.dtype)
        self.x = x

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        return self.x[rows]


def test_masks_of_two_levels_are_binary():
    assert Dataset.of((torch.rand(20, 1, 4, 4) > 0.5).byte() * 7, scale={"low": 0, "high": 1}).binary


def test_floats_that_were_8_bits_are_8_bits():
    x = np.random.default_rng(0).integers(256, size=(40, 4, 4)).astype(np.uint8)
    assert Dataset.of(x / 255).digest == Dataset.of(x).digest
    assert Dataset.of(x.astype(np.float32) / 255).scale == EIGHT_BIT
    assert Dataset.of(x / 254).scale.stored == "float32"
