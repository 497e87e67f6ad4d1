"""The batches of a run: what each process learns from in a step."""

from collections.abc import Generator, Iterable
from contextlib import closing

import torch
from torch import Tensor

from vaelab.data.prefetch import prefetched
from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.training.order import Order
from vaelab.training.process_group import ProcessGroup

Batch = tuple[Tensor, Tensor | None]


class Batches:
    """Images and classes by step, of which this process has its part; classes are None of a model that sees none."""

    def __init__(self, split: Split, order: Order, group: ProcessGroup, labelled: bool) -> None:
        self.images, self.labels = resident(split.images, group.device), split.labels if labelled else None
        self.order, self.group = order, group

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, of this process."""
        return self.take(self._rows(step))

    def ahead(self, steps: Iterable[int]) -> Generator[Batch]:
        """The batches of steps in turn; of images that are not on the device, the next are read while one is in use.

        Close it if it is left before its end.
        """
        device = self.group.device
        if isinstance(self.images, Tensor) and self.images.device.type == device.type:
            yield from (self[step] for step in steps)
            return
        with closing(prefetched(self.images, map(self._rows, steps), device)) as found:
            for rows, x in found:
                yield x, self._labels(rows)

    def take(self, rows: Tensor) -> Batch:
        """The images with these numbers, and their classes."""
        if isinstance(self.images, Images):
            return self.images.take(rows), self._labels(rows)
        return self.images.index_select(0, rows.to(self.images.device)), self._labels(rows)

    def _rows(self, step: int) -> Tensor:
        return self.order.rows(step)[self.group.rank :: self.group.size]

    def _labels(self, rows: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[rows]


def resident(images: Tensor | Images, device: torch.device) -> Tensor | Images:
    """Images in memory on the device, if they take less than half of what is free there, else where they are."""
    if isinstance(images, Images) or (device.type == "cuda" and 2 * images.nbytes > torch.cuda.mem_get_info(device)[0]):
        return images
    return images.to(device)
