"""How many generated images lie among the real ones, and how many real ones among the generated."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics.feature_pairs import Features, feature_pair
from vaelab.metrics.intervals import Interval, count_interval, score_interval, student, too_few
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.metrics.neighbours import distances, nearest, radii
from vaelab.registry import Size, register

Rule = Literal["any", "nearest"]
INTERVAL = "about the expectation for so many images and this k, from the scatter of disjoint parts of both sets"
FEWEST = 2  # times k + 1 images in the smallest of these parts
PART = 500  # images in a part, about: more cost time and tell little more
FREEDOM = 15  # degrees of freedom of a variance, at least: random cuts are repeated until there are so many
ABOUT = About(
    "Precision recall",
    {
        "precision": Value("Precision", "", "higher", "plausible samples", rank=9),
        "recall": Value("Recall", "", "higher", "variety of samples", rank=10),
        "density": Value("Density", better="higher"),
        "coverage": Value("Coverage", "", "higher", "images covered", rank=14),
    },
    quick=True,
    elsewhere={"prdc": "it is precision_recall"},
)


@register("metric", "precision_recall", ABOUT)
def precision_recall(
    split: Split,
    fake: Tensor,
    device: torch.device,
    *,
    k: Size = 5,
    rule: Rule = "any",
    extractor: Features = "auto",
    pca_dim: Size | None = None,
) -> Measurement:
    """Four shares of images, higher is better; a ball around an image reaches to its `k`-th neighbour in its own set.

    - `precision`: generated images inside a real image's ball; `recall`: real images inside a generated image's ball
      (Kynkäänniemi et al. 2019, there with k = 3);
    - `density`: real balls around a generated image, over k; may exceed 1; `coverage`: real images whose ball holds a
      generated image (Naeem et al. 2020, with k = 5).

    With `rule: nearest` only the ball of the nearest image counts for precision and recall, which is not the published
    definition and underestimates both. `pca_dim` fits that many principal components on the real features first.
    Intervals are about the four numbers' expectations at these numbers of images: both points and balls vary. Raises
    NotApplicable unless both sets have more than k images.
    """
    if min(len(split), len(fake)) <= k:
        raise NotApplicable(
            f"neighbour number {k} needs {k + 1} images in each set, got {len(split)} and {len(fake)}; lower k"
        )
    pair = feature_pair(extractor, split, fake, device, pca_dim)
    values = {name: column.double().mean().item() for name, column in overlap(*pair[:2], k, rule)._asdict().items()}
    enough = 4 * FEWEST * (k + 1)
    fewest = min(len(split), len(fake))
    intervals = intervals_of(values, pair.real, pair.fake, k, rule) if fewest >= enough else {}
    notes = ["rule 'nearest' underestimates precision and recall; published numbers use 'any'"] * (rule == "nearest")
    notes += [] if intervals else [too_few(fewest, enough)]
    return Measurement(values, intervals, pair.protocol | {"interval": INTERVAL}, notes=notes)


class Overlap(NamedTuple):
    """What each image adds to the four means: precision and density [M] of the fake, recall and coverage [N]."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def overlap(real: Tensor, fake: Tensor, k: int, rule: Rule = "any") -> Overlap:
    """Whether the images of two sets, features [N, F] and [M, F], lie in each other's (open) balls."""
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    balls = torch.zeros(len(fake), dtype=torch.double, device=fake.device)  # that hold each fake image
    recall, coverage, start = [], [], 0
    for block in distances(real, fake):
        inside = block < real_radii[start : start + len(block), None]
        balls += inside.sum(0)
        coverage.append(inside.any(1))
        recall.append((block < fake_radii).any(1))
        start += len(block)
    found = Overlap(balls > 0, torch.cat(recall), balls / k, torch.cat(coverage))
    if rule == "any":
        return found
    return found._replace(precision=_in_nearest(fake, real, real_radii), recall=_in_nearest(real, fake, fake_radii))


def _in_nearest(points: Tensor, centres: Tensor, reach: Tensor) -> Tensor:
    """Whether each point lies in the ball of the centre that is nearest to it."""
    found = nearest(points, centres)
    return found.values < reach[found.indices]


def intervals_of(
    values: Mapping[str, float], real: Tensor, fake: Tensor, k: int, rule: Rule = "any"
) -> dict[str, Interval]:
    """95 % intervals about the expectations of the four means, by name: score intervals, none of width zero."""

    def means(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack([column.double().mean() for column in overlap(a, b, k, rule)])

    intervals = {}
    for name, variance in zip(Overlap._fields, variances(means, real, fake, FEWEST * (k + 1)).tolist(), strict=True):
        value, count = values[name], len(real if name in ("recall", "coverage") else fake)
        spread, score = (value, count_interval) if name == "density" else (value * (1 - value), score_interval)
        alike = min(spread / variance, count) if variance and spread else count  # images scatter no less than if alone
        intervals[name] = score(value, alike, student(FREEDOM))
    return intervals


def variances(statistics: Callable[[Tensor, Tensor], Tensor], real: Tensor, fake: Tensor, fewest: int) -> Tensor:
    """Of statistics [S] of sets [N, F] and [M, F] that are means of what depends on an image's neighbours.

    Neither bootstrap nor jackknife is right there: copies of an image have no neighbourhood of their own, and what an
    image adds depends on the others. Disjoint parts are independent, and their statistics have the variance of the
    whole times the number of parts (Politis & Romano 1994), as long as that does not depend on their size; where it
    grew from halves of the parts to the parts, it is taken to grow as much, and twofold at most, to the whole.
    A half has `fewest` images or more of each set, which therefore takes 4 · `fewest`.
    """
    smaller, larger = sorted((len(real), len(fake)))
    count = max(2, min(larger // PART, smaller // (2 * fewest)))
    generator = torch.Generator().manual_seed(0)
    whole, halves = (_scatter(statistics, real, fake, parts, generator) for parts in (count, 2 * count))
    return whole * (whole / halves).nan_to_num(1).clamp(1, 2)


def _scatter(
    statistics: Callable[[Tensor, Tensor], Tensor], real: Tensor, fake: Tensor, parts: int, generator: torch.Generator
) -> Tensor:
    """Variance [S] of the mean over so many disjoint parts, averaged over random cuts."""
    found = []
    for _ in range(-(-FREEDOM // (parts - 1))):
        cuts = [x[torch.randperm(len(x), generator=generator).to(x.device)].tensor_split(parts) for x in (real, fake)]
        pieces = [statistics(*both) for both in zip(*cuts, strict=True)]
        found.append(torch.stack(pieces).var(0) / parts)
    return torch.stack(found).mean(0)
