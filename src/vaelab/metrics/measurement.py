"""What a metric returns: numbers, how sure they are, and how they came about."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vaelab.errors import UsageError

RESAMPLES = 1000
CHUNK = 2**18  # images of several resamples drawn at once


class NotApplicable(UsageError):
    """This metric cannot be computed of this subject; says why and what would help. Others still can."""


@dataclass(frozen=True)
class Measurement:
    """Numbers by name; beside them, where there are any, 95 % intervals, curves [(x, y), …] and remarks in words.

    `protocol` holds what the metric's options do not say already: counts, the extractor and its hash, the estimator.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def averages(**columns: Tensor) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means of numbers per image [N], and their percentile bootstrap intervals over the images."""
    columns = {name: column.detach().cpu().double() for name, column in columns.items()}
    values = {name: column.mean().item() for name, column in columns.items()}
    return values, {name: bootstrap(column) for name, column in columns.items()}


def bootstrap(column: Tensor, seed: int = 0) -> tuple[float, float]:
    """A 95 % interval of the mean of numbers [N]: quantiles of means of resamples (Efron 1979)."""
    generator = torch.Generator().manual_seed(seed)
    several = max(1, CHUNK // len(column))
    counts = [len(part) for part in torch.arange(RESAMPLES).split(several)]
    rows = (torch.randint(len(column), (count, len(column)), generator=generator) for count in counts)
    means = torch.cat([column[index].mean(1) for index in rows])
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low, high
