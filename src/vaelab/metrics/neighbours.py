"""Distances between all pairs of features, in blocks: time is that of a matrix product, memory stays small."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 2**24  # entries of a block, 64 MiB
COLUMNS = 2**12  # points that are held in float64 at once


class Nearest(NamedTuple):
    """Distances [N], float32, and row numbers [N]."""

    values: Tensor
    indices: Tensor


def distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Euclidean distances [rows, M], float32, of successive rows of a [N, F] to the points b [M, F].

    d² = |a|² + |b|² − 2ab cancels half of the digits, so it is summed in float64; rounding the result to float32
    makes equal distances equal again.
    """
    for rows in a.split(max(1, BLOCK // len(b))):
        yield torch.cat([_distances(rows.double(), points.double()) for points in b.split(COLUMNS)], 1)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    squares = torch.addmm(b.square().sum(1), a, b.T, alpha=-2).add_(a.square().sum(1, keepdim=True))
    return squares.clamp_(min=0).float().sqrt_()


def radii(points: Tensor, k: int) -> Tensor:
    """Distance [N] of each point [N, F] to the k-th nearest of the others, N > k."""
    found, start = [], 0
    for block in distances(points, points):
        block.diagonal(start).fill_(torch.inf)  # the point itself
        found.append(block.kthvalue(k, dim=1).values)
        start += len(block)
    return torch.cat(found)


def nearest(a: Tensor, b: Tensor) -> Nearest:
    """Distance and index [N] of the nearest of the points b [M, F] to each row of a [N, F]."""
    values, indices = zip(*(block.min(1) for block in distances(a, b)), strict=True)
    return Nearest(torch.cat(values), torch.cat(indices))
