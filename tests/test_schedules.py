"""Schedules: pure functions of the step, known at their ends, in steps or epochs."""

import dataclasses
import math
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaelab import schedules
from vaelab.errors import UsageError
from vaelab.registry import names, part
from vaelab.registry.schema import build, options
from vaelab.schedules import Constant, Cosine, Cyclic, Linear, Ramp, Schedule, Sigmoid

RAMPS = [name for name in names("schedule") if issubclass(part("schedule", name), Ramp)]
STAGES = {"stage_steps": 30, "stage_count": 3}  # of a model that grows
MONOTONE = [name for name in RAMPS if name != "cyclic"]


def make(name: str, **given) -> Schedule:
    """A schedule by name, with twenty steps where it needs a number."""
    needs = "steps" in options(part("schedule", name))
    return build("schedule", {"kind": name, **({"steps": 20} if needs else {}), **given}, **STAGES)


@pytest.mark.parametrize("name", names("schedule"))
class TestEverySchedule:
    def test_a_number_gives_a_number_and_a_tensor_the_same_tensor(self, name):
        schedule = make(name)
        for step in (0, 1, 7, 19, 20, 21, 10**6):
            value = schedule(step)
            assert type(value) is float
            assert schedule(float(step)) == value
            for dtype, precision in ((torch.float64, 0), (torch.float32, 1e-5), (torch.int64, 1e-5)):
                tensor = schedule(torch.tensor(step, dtype=dtype))
                assert isinstance(tensor, torch.Tensor)
                assert tensor.shape == ()
                assert abs(tensor.item() - value) <= precision

    def test_fractions_survive_whole_steps(self, name):
        """A value between 0 and 1 is not rounded to the type of the step."""
        given = {"value": 0.25} if name == "constant" else {"start": 0.25, "end": 0.25}
        assert make(name, **given)(torch.tensor(3)).item() == 0.25

    def test_is_pure_frozen_and_hashable(self, name):
        schedule = make(name)
        assert [schedule(5), schedule(3), schedule(5)] == [schedule(5), make(name)(3), make(name)(5)]
        assert hash(schedule) == hash(make(name))
        assert schedule == make(name)
        with pytest.raises(dataclasses.FrozenInstanceError):
            schedule.end = 3.0

    def test_is_finite_at_every_step(self, name):
        schedule = make(name)
        assert all(math.isfinite(schedule(step)) for step in range(50))


@pytest.mark.parametrize("name", RAMPS)
class TestEveryRamp:
    def test_starts_and_ends_where_it_says(self, name):
        schedule = make(name, start=0.2, end=3.0)
        assert schedule(0) == pytest.approx(0.2)
        assert schedule(20) == schedule(1000) == 3.0

    def test_may_fall(self, name):
        schedule = make(name, start=3.0, end=0.2)
        assert schedule(0) == pytest.approx(3.0)
        assert schedule(20) == 0.2

    def test_a_delay_shifts_it(self, name):
        early, late = make(name), make(name, delay_steps=13)
        assert [late(step) for step in range(14)] == [early(0)] * 14
        assert [late(step + 13) for step in range(40)] == pytest.approx([early(step) for step in range(40)])
        assert late.settled == early.settled + 13

    def test_held_values_are_renewed_every_so_many_steps(self, name):
        smooth, held = make(name), make(name, hold_steps=5)
        assert [held(step) for step in range(30)] == pytest.approx([smooth(step // 5 * 5) for step in range(30)])

    @pytest.mark.parametrize("duration", ["", "delay_", "hold_"])
    def test_epochs_become_steps(self, name, duration):
        given = {"kind": name, "steps": 20, f"{duration}epochs": 3}
        if duration == "":
            del given["steps"]
        assert getattr(build("schedule", given, steps_per_epoch=7), f"{duration}steps") == 21
        half = build("schedule", given | {f"{duration}epochs": 0.5}, steps_per_epoch=7)
        assert getattr(half, f"{duration}steps") == 4  # 3.5, rounded
        with pytest.raises(UsageError, match=f"length of an epoch is not known here; give {duration}steps"):
            build("schedule", given)

    def test_no_epochs_are_refused_where_a_step_is_the_least(self, name):
        with pytest.raises(UsageError, match=r"schedule\.epochs: less than a step; give more"):
            build("schedule", {"kind": name, "epochs": 0.01}, steps_per_epoch=7)

    def test_stays_between_its_ends(self, name):
        schedule = make(name, start=-1.0, end=2.0)
        assert all(-1 - 1e-12 <= schedule(step) <= 2 + 1e-12 for step in range(50))


def settings_of(name: str) -> Iterator[dict]:
    """Few and many steps, held and delayed, rising, falling and level, with each option of its own."""
    ends = [{"start": start, "end": end} for start, end in ((0.0, 1.0), (3.0, 0.1), (0.3, 0.3))]
    more = {
        "sigmoid": [{"steepness": k} for k in (1, 10, 1000)],
        "cyclic": [{"cycles": n, "rise": rise} for n, rise in product((1, 4, 7), (0, 0.3, 1))],
        "per_stage": [{"stages": stages} for stages in (None, (0,), (0, 2))],
    }.get(name, [{}])
    steps = [{"steps": n} for n in (1, 20, 30)] if name != "constant" else [{}]
    held = [{"hold_steps": h, "delay_steps": d} for h, d in product((1, 5, 7, 64), (0, 13))] if name in RAMPS else [{}]
    for each in product(ends if name != "constant" else [{}], more, steps, held):
        yield {k: v for one in each for k, v in one.items()}


@pytest.mark.parametrize("at_once", [3, schedules.AT_ONCE])
@pytest.mark.parametrize("name", names("schedule"))
def test_settled_is_the_first_step_from_which_the_value_no_longer_changes(name, at_once, monkeypatch):
    monkeypatch.setattr(schedules, "AT_ONCE", at_once)
    for chosen in settings_of(name):
        schedule = make(name, **chosen)
        values = schedule(torch.arange(300.0).double()).expand(300)
        others = (values != schedule(10**5)).nonzero()
        assert schedule.settled == (others[-1].item() + 1 if len(others) else 0), chosen


@pytest.mark.parametrize("name", MONOTONE)
@given(
    steps=st.integers(1, 10**6),
    delay=st.integers(0, 1000),
    hold=st.integers(1, 100),
    ends=st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    at=st.lists(st.integers(0, 2 * 10**6), min_size=2, max_size=10),
)
def test_ramps_are_monotone(name, steps, delay, hold, ends, at):
    schedule = make(name, steps=steps, delay_steps=delay, hold_steps=hold, start=ends[0], end=ends[1])
    values = [schedule(step) for step in sorted(at)]
    signed = values if ends[0] <= ends[1] else values[::-1]
    assert all(b - a >= -1e-12 for a, b in zip(signed, signed[1:], strict=False))


@given(
    steps=st.integers(1, 10**6),
    cycles=st.integers(1, 50),
    rise=st.floats(0, 1),
    step=st.integers(0, 2 * 10**6),
)
def test_cycles_stay_between_their_ends(steps, cycles, rise, step):
    value = Cyclic(steps=steps, cycles=cycles, rise=rise)(step)
    assert 0 <= value <= 1
    assert step < steps or value == 1


def test_constant():
    assert [Constant(value=0.3)(step) for step in (0, 5, 10**9)] == [0.3] * 3
    assert Constant().settled == 0
    assert build("schedule", 4) == Constant(value=4.0)


def test_linear():
    assert [Linear(steps=4)(step) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert Linear(start=1, end=0, steps=4)(1) == 0.75


def test_a_warm_up_of_fifty_epochs_reaches_098_in_the_last():
    """β = i/50 in epoch i = 0 … 49, as `mnist-mlp` has it: held within each epoch."""
    beta = build("schedule", {"kind": "linear", "epochs": 50, "hold_epochs": 1}, steps_per_epoch=600)
    assert [beta(600 * i + j) for i in (0, 1, 49) for j in (0, 599)] == pytest.approx([0, 0, 0.02, 0.02, 0.98, 0.98])


def test_cosine():
    values = [Cosine(steps=4)(step) for step in range(5)]
    assert values == pytest.approx([0, (1 - 0.5**0.5) / 2, 0.5, (1 + 0.5**0.5) / 2, 1])


def test_sigmoid():
    schedule = Sigmoid(steps=10, steepness=10)
    logistic = [1 / (1 + math.exp(-(step - 5))) for step in range(11)]
    stretched = [(v - logistic[0]) / (logistic[-1] - logistic[0]) for v in logistic]
    assert [schedule(step) for step in range(11)] == pytest.approx(stretched)
    assert Sigmoid(steps=10, steepness=40)(4) < schedule(4) < schedule(5) == pytest.approx(0.5)


def test_cyclic():
    schedule = Cyclic(steps=40, cycles=4, rise=0.5)
    cycle = [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]
    assert [schedule(step) for step in range(45)] == pytest.approx(cycle * 4 + [1] * 5)
    assert Cyclic(steps=40, cycles=1, rise=1)(20) == pytest.approx(0.5)
    assert Cyclic(steps=40, cycles=1, rise=0)(1) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_cycle_begins_at_the_start(dtype):
    """Also the one of 49 that 1 / 49 · 49 < 1 would miss."""
    schedule = Cyclic(steps=4900, cycles=49, rise=0.5)
    assert not schedule(torch.arange(0, 4900, 100, dtype=dtype)).any()
