"""Confidence intervals of means, shares and counts over images."""

import math

from torch import Tensor

LEVEL = 0.95  # of every interval
ENOUGH = 8  # images for an interval: of fewer, their spread and skewness say too little
OVER_IMAGES = "over the images: Student's t corrected for skewness (Hall 1992); of shares Wilson's score"

Interval = tuple[float, float]


def too_few(count: int, enough: int) -> str:
    """A note in the place of intervals."""
    return f"{count} images are too few for a 95 % interval, which takes {enough}"


def column_interval(column: Tensor) -> Interval:
    """Of the mean of numbers, or of the share of hits [N]."""
    return mean_interval(column.double()) if column.is_floating_point() else share_interval(column.double())


def mean_interval(column: Tensor) -> Interval:
    """Of the mean of numbers [N], however skewed they are."""
    count, deviation = len(column), column.std().item()
    third = (column - column.mean()).pow(3).mean().item()
    skewness = third / deviation**3 / math.sqrt(count) if deviation else 0.0
    return skewed_interval(column.mean().item(), deviation / math.sqrt(count), skewness, student(count - 1))


def skewed_interval(value: float, error: float, skewness: float, reach: float) -> Interval:
    """Of a value with this standard error and skewness, by the transform of Hall (1992) of Student's statistic t.

    t = (value − truth) / error inherits the skewness γ; T = t + γt² / 3 + γ²t³ / 27 + γ / 6 has none to the first
    order, rises with t, and is inverted at ± `reach`.
    """
    ends = [value - error * _untransformed(end, skewness) for end in (reach, -reach)]
    return ends[0], ends[1]


def _untransformed(statistic: float, skewness: float) -> float:
    """t of Hall's T = `statistic`; written so that nothing cancels at a skewness of 0."""
    above = statistic - skewness / 6
    cube = math.cbrt(1 + skewness * above)
    return 3 * above / (cube * cube + cube + 1)


def share_interval(hits: Tensor) -> Interval:
    """Of the share of hits [N] in many more: Wilson's score interval (1927)."""
    return score_interval(hits.mean().item(), len(hits), student())


def score_interval(share: float, count: float, reach: float) -> Interval:
    """The shares p with |share − p| ≤ reach · √(p (1 − p) / count), which is never of width zero.

    Where hits depend on each other, `count` is the number of independent ones of the same scatter.
    """
    scale, middle = 1 + reach**2 / count, share + reach**2 / 2 / count
    spread = reach * math.sqrt(share * (1 - share) / count + (reach / 2 / count) ** 2)
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def count_interval(rate: float, count: float, reach: float) -> Interval:
    """The rates r with |rate − r| ≤ reach · √(r / count), as `score_interval` of a Poisson count."""
    middle, spread = rate + reach**2 / 2 / count, reach * math.sqrt(rate / count + (reach / 2 / count) ** 2)
    return max(0.0, middle - spread), middle + spread


def student(freedom: float = math.inf) -> float:
    """What Student's t of so many degrees of freedom stays below, in absolute value, in 95 % of cases."""
    from scipy.special import ndtri, stdtrit

    upper = (1 + LEVEL) / 2
    return float(ndtri(upper) if math.isinf(freedom) else stdtrit(freedom, upper))
