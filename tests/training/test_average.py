"""The average is a function of the steps: its memory is that of its formula, however the run was cut."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vaelab.training.average import STRIDE, Average


def averages(path: Callable[[int], Tensor], steps: int, reads: set[int], ema: float, stages: tuple = (0,)) -> list:
    """What is read at some of the steps of weights that take this path; stages begin after the steps named."""
    weight, into = path(0).clone(), torch.empty_like(path(0))
    average, found = Average([weight], [into], ema), []
    for step in range(1, steps + 1):
        since = step - max(stage for stage in stages if stage < step)
        weight.copy_(path(step))
        average.add(step, since)
        if step in reads:
            average.read(step, since)
            found.append(into.clone())
    return found


@pytest.mark.parametrize("ema", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("stages", [(0,), (0, 60, 101)])
def test_however_epochs_cut_the_run_the_average_is_the_same(ema, stages):
    walk = torch.randn(151, 5).cumsum(0)
    whole = averages(walk.__getitem__, 150, set(range(1, 151)), ema, stages)
    for epoch in (7, 8, 10, 150):
        ends = set(range(epoch, 151, epoch))
        for end, found in zip(sorted(ends), averages(walk.__getitem__, 150, ends, ema, stages), strict=True):
            assert torch.equal(found, whole[end - 1])


@pytest.mark.parametrize("ema", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("epoch", [1, 7, 8, 10, 400])
def test_what_came_n_steps_ago_counts_for_ema_to_the_power_of_n(ema, epoch):
    """Weights that jump after step 1200, when the memory is as long as it gets."""
    ends = set(range(epoch, 1601, epoch))
    found = averages(lambda step: torch.tensor([float(step <= 1200)], dtype=torch.float64), 1600, ends, ema)
    for end, value in zip(sorted(ends), found, strict=True):
        assert value.item() == pytest.approx(ema ** max(end - 1200, 0), rel=1e-9, abs=1e-12)


def test_at_first_the_mean_age_is_a_tenth_of_the_steps():
    """Of weights that grow with the step, the average lags by as much, but for the stride."""
    found = averages(lambda step: torch.tensor([float(step)]), 400, set(range(1, 401)), 0.9999)
    for step, value in enumerate(found, 1):
        assert 0.1 * step - STRIDE <= step - value.item() <= 0.1 * step + STRIDE


def test_nothing_is_left_of_what_was_before_the_stage():
    path = torch.cat([torch.full((21,), 1e9), torch.arange(30.0)])[:, None]
    found = averages(path.__getitem__, 50, set(range(21, 51)), 0.999, (0, 20))
    assert max(value.item() for value in found) <= 29


def test_a_copy_of_its_sum_goes_on_as_itself():
    weight, other = torch.randn(2, 3)
    one = Average([weight], [torch.empty(3)], 0.9)
    for step in range(1, 12):
        weight.add_(step)
        one.add(step, step)
    two = Average([other], [torch.empty(3)], 0.9)
    two.load(copy.deepcopy(one.sum))
    other.copy_(weight)
    for average in (one, two):
        average.read(11, 11)
    assert torch.equal(one.into[0], two.into[0])
