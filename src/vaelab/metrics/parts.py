"""Variance of what two sets say of each other's neighbourhoods, from disjoint parts of both."""

from collections.abc import Callable

import torch
from torch import Tensor

PART = 500  # images in a part, about: more cost time and tell little more
FREEDOM = 15  # degrees of freedom of a variance, at least: random cuts are repeated until there are so many

Statistics = Callable[[Tensor, Tensor], Tensor]


def variances(statistics: Statistics, real: Tensor, fake: Tensor, fewest: int) -> Tensor:
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


def _scatter(statistics: Statistics, real: Tensor, fake: Tensor, parts: int, generator: torch.Generator) -> Tensor:
    """Variance [S] of the mean over so many disjoint parts, averaged over random cuts."""
    found = []
    for _ in range(-(-FREEDOM // (parts - 1))):
        rows, columns = (
            torch.randperm(len(x), generator=generator).to(x.device).tensor_split(parts) for x in (real, fake)
        )
        pieces = [statistics(real[i], fake[j]) for i, j in zip(rows, columns, strict=True)]
        found.append(torch.stack(pieces).var(0) / parts)
    return torch.stack(found).mean(0)
