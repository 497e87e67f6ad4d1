"""What a model that grows draws at each of its stages: a row for each, all at the same size."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.tiles import enlarge, grid
from vaelab.registry import register


@register("figure", "stages", About("Stages", "What the model drew at the end of each stage, of the same latents."))
def stages(grown: Mapping[str, ArrayLike], *, title: str = "Samples of each stage") -> Figure:
    """One row per stage, from the first to the last; every pixel of a small image becomes a larger square.

    Of each stage [N, C, h, w], by the name that stands beside the row.
    """
    if not grown:
        raise NotApplicable("it needs a backbone that grows, such as progressive")
    rows = [np.asarray(stage) for stage in grown.values()]
    shape = np.max([row.shape for row in rows], axis=0)
    height, width = shape[-2:] * enlarge(len(rows), shape[0], shape)
    return grid(np.stack([resized(row, height, width) for row in rows]), list(grown), title=title)


def resized(images: NDArray, height: int, width: int) -> NDArray:
    """Images of this size, each pixel that of the nearest place: sharp squares, all alike where the factor is whole."""
    down, right = (np.arange(new) * old // new for new, old in zip((height, width), images.shape[-2:], strict=True))
    return images[..., down[:, None], right]
