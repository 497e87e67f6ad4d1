"""Classes told from what is said of each image, in numbers or in words."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def classes_of(values: Sequence[str] | np.ndarray) -> tuple[Tensor, tuple[str, ...]]:
    """The number int64 [N] of each image's class, and the names of the classes: of whole numbers these, in their order.

    Others are in the order of the alphabet.
    """
    texts, places = np.unique(np.asarray(values), return_inverse=True)
    names = texts.tolist()
    try:
        keys = [int(name) for name in names]
    except ValueError:
        keys = names
    known = {key: number for number, key in enumerate(sorted(set(keys)))}
    return torch.tensor([known[key] for key in keys])[torch.from_numpy(places)], tuple(map(str, known))
