"""The order of the images of a run: a stream of their numbers, epoch after epoch, and the epochs' lengths in steps."""

import math
from fractions import Fraction

import torch
from torch import Tensor

from vaelab.data.permutation import LISTED, Permutation
from vaelab.errors import UsageError
from vaelab.training.seeds import seed_of


class Order:
    """An endless stream of image numbers, in which every epoch has each of n images once, in an order of its own.

    Step s takes the next batch of it, from position s · B on: none is left out, and where B does not divide n, a batch
    has the last images of an epoch and the first of the next. A function of (seed, step), which keeps nothing.
    """

    def __init__(self, images: int, batch_size: int, seed: int) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self._known: dict[int, Tensor | Permutation] = {}

    def rows(self, step: int) -> Tensor:
        """The numbers int64 [B] of the images in a step."""
        epoch, begin = divmod(step * self.batch_size, self.images)
        within = self.images - begin  # of the epoch, from there on
        if self.batch_size <= within:
            return self._part(epoch, begin, begin + self.batch_size)
        return torch.cat([self._part(epoch, begin, self.images), self._part(epoch + 1, 0, self.batch_size - within)])

    def first(self, epoch: int, count: int) -> Tensor:
        """The numbers of the first images in an epoch, counted from 0; all, if there are no more."""
        return self._part(epoch, 0, min(count, self.images))

    def of(self, epoch: int) -> Tensor | Permutation:
        """The order of an epoch, counted from 0: a list, or of very many images a function."""
        if epoch not in self._known:
            seed = seed_of("order", self.seed, 0, epoch)
            if self.images > LISTED:
                found = Permutation(self.images, seed)
            else:
                found = torch.randperm(self.images, generator=torch.Generator().manual_seed(seed))
            self._known = {e: order for e, order in self._known.items() if e == epoch - 1} | {epoch: found}
        return self._known[epoch]

    def _part(self, epoch: int, begin: int, end: int) -> Tensor:
        order = self.of(epoch)
        return order[begin:end] if isinstance(order, Tensor) else order[torch.arange(begin, end)]


def steps_per_epoch(images: int, batch_size: int, processes: int = 1) -> Fraction:
    """How many batches an epoch has, seldom whole; UsageError for batches that some process has no image of."""
    if batch_size < processes:
        raise UsageError(f"batch_size {batch_size} leaves some of {processes} processes without an image; raise it")
    if batch_size > images:
        raise UsageError(f"batch_size {batch_size} exceeds the {images} training images; try {images} or fewer")
    return Fraction(images, batch_size)


def end_of(epoch: int, per_epoch: Fraction) -> int:
    """The steps after which an epoch, counted from 1, is over: its last image was in the last of them."""
    return math.ceil(epoch * per_epoch)


def epoch_of(steps: int, per_epoch: Fraction) -> int:
    """The number of the epoch that is under way, or just over, after so many steps; 0 before the first."""
    return math.floor((steps - 1) / per_epoch) + 1
