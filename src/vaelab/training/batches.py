"""The batches of a run: what each process learns from in a step."""

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.training.order import Order
from vaelab.training.process_group import ProcessGroup


class Batches:
    """Images and classes by step, of which this process has its part; classes are None of a model that sees none."""

    def __init__(self, split: Split, order: Order, group: ProcessGroup, labelled: bool) -> None:
        self.images, self.labels = resident(split.images, group.device), split.labels if labelled else None
        self.order, self.group = order, group

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor | None]:
        """The batch of a step, of this process."""
        return self.take(self.order.rows(step)[self.group.rank :: self.group.size])

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images with these numbers, and their classes."""
        labels = None if self.labels is None else self.labels[rows]
        if isinstance(self.images, Images):
            return self.images.take(rows), labels
        return self.images.index_select(0, rows.to(self.images.device)), labels


def resident(images: Tensor | Images, device: torch.device) -> Tensor | Images:
    """Images in memory on the device, if they take less than half of what is free there, else where they are."""
    if isinstance(images, Images) or (device.type == "cuda" and 2 * images.nbytes > torch.cuda.mem_get_info(device)[0]):
        return images
    return images.to(device)
