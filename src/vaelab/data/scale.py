"""The one rule by which stored values become what a model sees, and back."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import with_config
from torch import Tensor
from typing_extensions import TypedDict

from vaelab.data.stored import Images, pieces
from vaelab.errors import UsageError

Stored = Literal["uint8", "uint16", "float32"]
HIGHEST = {"uint8": 255.0, "uint16": 65535.0}  # of whole numbers
USUAL_PERCENTILES = 0.1, 99.9
SORTED = 2**24  # values that percentiles are found from


@with_config(extra="forbid", strict=True)
class Rule(TypedDict, total=False):
    """The limits of a scale as a recipe sets them, by value or by percentile of the training images."""

    low: float
    high: float
    percentile: tuple[float, float]
    clip: bool


@dataclass(frozen=True)
class Scale:
    """x = (value − low) / (high − low) of stored values; what lies outside goes to 0 or 1, unless `clip` is false."""

    low: float = 0.0
    high: float = 255.0
    stored: Stored = "uint8"
    clip: bool = True

    @property
    def levels(self) -> int | None:
        """How many values x can take; None of real numbers."""
        whole = self.stored in HIGHEST and self.clip and self.low % 1 == self.high % 1 == 0
        return int(self.high - self.low) + 1 if whole else None

    @property
    def bounded(self) -> bool:
        """Whether every x lies in [0, 1]."""
        return self.clip or (self.low <= 0 and self.high >= HIGHEST.get(self.stored, math.inf))

    def to_unit(self, values: Tensor) -> Tensor:
        """Stored values -> x, float32; UsageError for values that are not finite."""
        x = (values.float() - self.low) / (self.high - self.low)
        if self.stored == "float32" and not x.isfinite().all():
            count = int((~x.isfinite()).sum())
            raise UsageError(f"{count:,} values of the images are not finite", "mend or leave out these images")
        return x.clamp_(0, 1) if self.clip else x

    def to_values(self, x: Tensor) -> Tensor:
        """x -> the nearest stored values, on the CPU in their own type."""
        values = x.detach().cpu().float() * (self.high - self.low) + self.low
        if self.stored not in HIGHEST:
            return values
        return values.round().clamp(0, HIGHEST[self.stored]).to(getattr(torch, self.stored))

    def as_mapping(self) -> dict[str, Any]:
        """The scale in JSON's types, from which `Scale(**mapping)` makes it again."""
        return asdict(self)

    def __str__(self) -> str:
        """`0 … 65,535`."""
        return f"{self.low:,.6g} … {self.high:,.6g}"


EIGHT_BIT = Scale()


def refuse_rule(rule: Rule) -> None:
    """ValueError for limits that are no range."""
    if not rule.keys() & {"low", "high", "percentile"} or ("percentile" in rule and rule.keys() & {"low", "high"}):
        raise ValueError("scale takes low and high, or percentile; give {low: 0, high: 4095} or {percentile: [1, 99]}")
    low, high = rule.get("percentile", (rule.get("low", 0.0), rule.get("high")))
    if "percentile" in rule and not 0 <= low < (high or 0) <= 100:
        raise ValueError(f"scale: percentile [{low:g}, {high:g}] is no range; give two of 0 to 100, such as [1, 99]")
    if high is not None and not low < high:
        raise ValueError(f"scale: low {low:g} is not below high {high:g}; give the values of black and of white")


def scaled(x: Tensor, scale: Scale) -> Tensor:
    """Stored images as a model's x, or as they are where they have 8 bits and are scaled when they are used."""
    return x if scale == EIGHT_BIT else scale.to_unit(x)


def scaled_images(x: Tensor | Images, scale: Scale) -> Tensor | Images:
    """The same of images that may be read later."""
    if isinstance(x, Tensor):
        return scaled(x, scale)
    return x if scale == EIGHT_BIT else x.map(lambda batch, rows: scale.to_unit(batch), dtype=torch.float32)


def scale_of(rule: str | Rule, train: Tensor | Images) -> Scale:
    """The scale that a rule means for stored training images; UsageError where they are all alike."""
    stored = str(train.dtype).removeprefix("torch.")
    limits: Rule = {} if isinstance(rule, str) else rule
    if rule == "percentile" or "percentile" in limits:
        low, high = _percentiles(train, *limits.get("percentile", USUAL_PERCENTILES))
        low, high = (round(low), round(high)) if stored in HIGHEST else (low, high)
    elif limits or stored in HIGHEST:
        low, high = limits.get("low", 0.0), limits.get("high", HIGHEST.get(stored, 1.0))
    else:
        low, high = _span(train)
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    if not low < high:
        raise UsageError(f"the images are {low:g} in nearly every pixel", "set data.scale to {low: …, high: …}")
    return Scale(float(low), float(high), stored, limits.get("clip", True))  # pyright: ignore[reportArgumentType]


def _span(images: Tensor | Images) -> tuple[float, float]:
    ends = [(x.min().item(), x.max().item()) for _, x in pieces(images)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _percentiles(images: Tensor | Images, low: float, high: float) -> tuple[float, float]:
    step = -(-images.numel() // SORTED)
    found = np.percentile(images[::step].float().numpy(), [low, high])
    return float(found[0]), float(found[1])
