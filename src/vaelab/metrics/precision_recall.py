"""How many generated images lie among the real ones, and how many real ones among the generated."""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.metrics.feature_pairs import feature_pair
from vaelab.metrics.measurement import Measurement, NotApplicable, averages
from vaelab.metrics.neighbours import distances, nearest, radii
from vaelab.registry import Part, Size, register

Rule = Literal["any", "nearest"]


@register("metric", "precision_recall")
def precision_recall(
    split: Split,
    fake: Tensor,
    device: torch.device,
    *,
    k: Size = 5,
    rule: Rule = "any",
    extractor: Annotated[Any, Part("extractor")] = "auto",
    pca_dim: Size | None = None,
) -> Measurement:
    """Four shares of images, higher is better; a ball around an image reaches to its `k`-th neighbour in its own set.

    - `precision`: generated images inside a real image's ball; `recall`: real images inside a generated image's ball
      (Kynkäänniemi et al. 2019, there with k = 3);
    - `density`: real balls around a generated image, over k; may exceed 1; `coverage`: real images whose ball holds a
      generated image (Naeem et al. 2020, with k = 5).

    With `rule: nearest` only the ball of the nearest image counts for precision and recall, which is not the published
    definition and underestimates both. `pca_dim` fits that many principal components on the real features first.
    Raises NotApplicable unless both sets have more than k images.
    """
    if min(len(split), len(fake)) <= k:
        raise NotApplicable(
            f"neighbour number {k} needs {k + 1} images in each set, got {len(split)} and {len(fake)}; lower k"
        )
    pair = feature_pair(extractor, split, fake, device, pca_dim)
    values, intervals = averages(**overlap(pair.real, pair.fake, k, rule)._asdict())
    protocol = pair.protocol | {"interval": "bootstrap over the images that are counted, with all balls held fixed"}
    note = "rule 'nearest' underestimates precision and recall; published numbers use 'any'"
    return Measurement(values, intervals, protocol, notes=[note] if rule == "nearest" else [])


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
