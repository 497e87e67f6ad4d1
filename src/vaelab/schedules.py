"""Numbers that change while training: β, a capacity, a learning rate's factor.

A schedule is a pure function of the step. It takes a number and returns a number, or takes a 0-d tensor and returns a
0-d tensor, so that a compiled training step need not be compiled again when the step changes.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, overload

import torch
from torch import Tensor

from vaelab.registry import Count, Fraction, Role, Size, register

AT_ONCE = 2**16  # renewals of a ramp that are looked at together


class Schedule(ABC):
    """schedule(step) -> value."""

    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: Tensor) -> Tensor: ...
    def __call__(self, step):
        """Value at a step, counted from 0."""
        if isinstance(step, Tensor):
            return self.value_at(step if step.is_floating_point() else step.float())
        return self.value_at(torch.tensor(float(step), dtype=torch.float64)).item()

    @abstractmethod
    def value_at(self, step: Tensor) -> Tensor:
        """The formula, elementwise on a floating-point tensor."""

    @property
    def settled(self) -> int:
        """The first step from which the value no longer changes."""
        return 0


Scheduled = Annotated[Schedule, Role("schedule")]  # the type of an option that may be a schedule


@register("schedule", "constant")
@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The same value throughout; in a recipe a bare number says the same."""

    value: float = 1.0

    def value_at(self, step: Tensor) -> Tensor:
        """The value."""
        return torch.full_like(step, self.value)


def _between(start: float, end: float, share: Tensor) -> Tensor:
    """start + (end − start) · share, exact at both ends."""
    length = end - start
    return torch.where(share < 0.5, start + length * share, end - length * (1 - share))


@dataclass(frozen=True, kw_only=True)
class Ramp(Schedule):
    """From `start` to `end` within `steps`, after `delay_steps`; renewed only every `hold_steps`."""

    start: float = 0.0
    end: float = 1.0
    steps: Size
    delay_steps: Count = 0
    hold_steps: Size = 1

    def value_at(self, step: Tensor) -> Tensor:
        """start + (end − start) · curve(step held − delay)."""
        held = (step / self.hold_steps).floor() * self.hold_steps
        return _between(self.start, self.end, self.curve((held - self.delay_steps).clamp(0, self.steps)))

    @abstractmethod
    def curve(self, elapsed: Tensor) -> Tensor:
        """A map of [0, steps] to [0, 1], elementwise, which ends at 1."""

    @property
    def settled(self) -> int:
        """The renewal after the last one whose value is not the final one; 0 if there is none."""
        if self.start == self.end:
            return 0
        renewals = -(-(self.delay_steps + self.steps) // self.hold_steps)  # at the last of these the ramp is over
        final = self(renewals * self.hold_steps)
        for end in range(renewals, 0, -AT_ONCE):
            begin = max(end - AT_ONCE, 0)
            steps = (begin + torch.arange(end - begin, dtype=torch.float64)) * self.hold_steps
            if len(other := (self.value_at(steps) != final).nonzero()):
                return (begin + int(other[-1]) + 1) * self.hold_steps
        return 0


@register("schedule", "linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Ramp):
    """A straight line (KL warm-up, Bowman et al. 2016; Sønderby et al. 2016)."""

    def curve(self, elapsed: Tensor) -> Tensor:
        """elapsed / steps."""
        return elapsed / self.steps


@register("schedule", "cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine(Ramp):
    """Half a cosine wave, flat at both ends (Loshchilov & Hutter 2017)."""

    def curve(self, elapsed: Tensor) -> Tensor:
        """(1 − cos(π · elapsed / steps)) / 2."""
        return (1 - torch.cos(math.pi * (elapsed / self.steps))) / 2


@register("schedule", "sigmoid")
@dataclass(frozen=True, kw_only=True)
class Sigmoid(Ramp):
    """A logistic curve of the given steepness, scaled to reach both ends exactly (Bowman et al. 2016)."""

    steepness: Size = 10

    def curve(self, elapsed: Tensor) -> Tensor:
        """σ(k(elapsed / steps − ½)), stretched from [σ(−k/2), σ(k/2)] to [0, 1]."""
        half = math.tanh(self.steepness / 4)
        return (1 + torch.tanh(self.steepness * (elapsed / self.steps - 0.5) / 2) / half) / 2


@register("schedule", "cyclic")
@dataclass(frozen=True, kw_only=True)
class Cyclic(Ramp):
    """`cycles` equal ramps within `steps`, each rising for a `rise` share of its cycle (Fu et al. 2019)."""

    cycles: Size = 4
    rise: Fraction = 0.5

    def curve(self, elapsed: Tensor) -> Tensor:
        """min(position in the cycle / rise, 1); 1 once all cycles are over."""
        within = torch.where(elapsed < self.steps, (elapsed * self.cycles / self.steps).frac(), 1.0)
        return (within / max(self.rise, 1e-9)).clamp(0, 1)


@register("schedule", "per_stage")
@dataclass(frozen=True)
class PerStage(Schedule):
    """From `start` to `end` within the first `steps` of each stage of a growing model, or of the `stages` listed.

    Stages count from 0; those not listed are at `end` throughout.
    """

    stage_steps: float = 0  # of one stage, and how many there are: supplied by the program
    stage_count: int = 0
    _: KW_ONLY
    start: float = 0.0
    end: float = 1.0
    steps: Size
    stages: tuple[Count, ...] | None = None

    def __post_init__(self) -> None:
        if not self.stage_count:
            raise ValueError("per_stage needs a model that grows; set model.backbone to progressive, or take linear")
        if self.steps > self.stage_steps:
            raise ValueError(f"{self.steps} steps are longer than a stage of {self.stage_steps:g}; give fewer")
        if unknown := [stage for stage in self._listed if stage >= self.stage_count]:
            raise ValueError(f"stages: {unknown[0]} is none, they are 0 to {self.stage_count - 1}; list some of these")
        if not self._listed:
            raise ValueError(f"stages lists none; list some of 0 to {self.stage_count - 1}, or leave it out for all")

    @property
    def _listed(self) -> tuple[int, ...]:
        return tuple(range(self.stage_count)) if self.stages is None else self.stages

    def value_at(self, step: Tensor) -> Tensor:
        """A line in the listed stages."""
        stage = (step / self.stage_steps).floor().clamp(max=self.stage_count - 1)
        progress = ((step - stage * self.stage_steps) / self.steps).clamp(0, 1)
        rising = torch.stack([stage == listed for listed in self._listed]).any(0)
        return torch.where(rising, _between(self.start, self.end, progress), self.end)

    @property
    def settled(self) -> int:
        """The end of the last line."""
        return math.ceil(max(self._listed) * self.stage_steps) + self.steps if self.start != self.end else 0
