"""Trends in the epochs of a log: a slope and its noise, a gain of the last epoch, a KL that still rises."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vaelab.runs.log import Row, finite, numbers

FEW = 3  # epochs that are too few for a trend
GAINED = 0.001  # share of the loss that counts as a gain
RISEN = 1.1  # of a KL, over the last epochs


def clear(loss: float) -> float:
    """The smallest difference, in nats, that counts beside such a loss."""
    return max(0.1, GAINED * abs(loss))


def last_gain(valid: Sequence[Row]) -> float:
    """By how much the last of few epochs still lowered the loss; 0 where that is little, or where there are more."""
    losses = numbers(valid, "loss")
    if not FEW <= len(losses) < 2 * FEW:
        return 0.0
    gain = losses[-2] - losses[-1]
    return gain if gain > clear(losses[-1]) else 0.0


def rises(valid: Sequence[Row]) -> bool:
    """Whether the last two KLs stand above those of the epochs just before; noise seldom puts both on top."""
    last = numbers(valid, "kl")[-2 * FEW :]
    return len(last) >= FEW and min(last[-2:]) > max(last[:-2]) and last[-1] > RISEN * last[0]


def slope_of(valid: Sequence[Row]) -> tuple[float, float, int] | None:
    """Least-squares slope of the loss over the last fifth of the epochs, its standard error, and how many these are."""
    points = [(float(row["epoch"]), x) for row in valid if (x := finite(row, "loss")) is not None]
    window = max(2 * FEW, math.ceil(len(points) / 5))
    if len(points) < FEW:
        return None
    x, y = np.array(points[-window:]).T
    n, x = len(x), x - x.mean()
    slope = float((x * y).sum() / (x**2).sum())
    rest = y - y.mean() - slope * x
    return slope, float(np.sqrt((rest**2).sum() / max(1, n - 2) / (x**2).sum())), n


def is_whole(steps: Sequence[Row]) -> bool:
    """Whether the first row is that of the training's first steps, so that its loss is where it began."""
    at = [row["step"] for row in steps]
    return at[0] <= 1.5 * max(late - soon for soon, late in pairwise(at))
