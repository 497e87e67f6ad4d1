"""Stages: every image enlarged as it is, every row named."""

import numpy as np
import pytest
import torch

from vaelab.figures.stages import resized, stages
from vaelab.figures.tiles import GAP

RNG = np.random.default_rng(0)


def drawn(count, sides, channels=1):
    """Images of each side that are whole multiples of 1/255."""
    shapes = {f"{side} × {side}": (count, channels, side, side) for side in sides}
    return {name: RNG.integers(0, 256, shape).astype(np.float32) / 255 for name, shape in shapes.items()}


def legible(figure):
    """All texts lie within the figure, and no two of them touch."""
    boxes = [t.get_window_extent() for t in [*figure.texts, *figure.axes[0].texts] if t.get_text()]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def names(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", [(8,), (4, 8, 16, 32), (7, 28), (4, 64, 128)])
@pytest.mark.parametrize("count", [1, 12])
def test_every_image_stands_in_its_row_at_the_same_size(sides, channels, count):
    images = drawn(count, sides, channels)
    figure = stages(images)
    legible(figure)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    cell = (shown.shape[0] + GAP) // len(sides) - GAP
    assert shown.shape == (len(sides) * (cell + GAP) - GAP, count * (cell + GAP) - GAP, 3)
    for row, (side, stage) in enumerate(zip(sides, images.values(), strict=True)):
        factor = cell // side
        for column, image in enumerate(stage):
            top, left = row * (cell + GAP), column * (cell + GAP)
            found = shown[top : top + cell, left : left + cell]
            wanted = np.rint(np.broadcast_to(image, (3, side, side)).transpose(1, 2, 0) * 255)
            np.testing.assert_array_equal(found, wanted.repeat(factor, 0).repeat(factor, 1))
    assert names(figure) == [f"{side} × {side}" for side in sides]


def test_names_and_title_are_those_given():
    first, last = drawn(3, (4, 8)).values()
    figure = stages({"first": torch.from_numpy(first), "last": last}, title="Growth")
    legible(figure)
    assert names(figure) == ["first", "last"]
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["Growth"]


def test_sizes_that_do_not_divide_keep_every_pixel():
    (images,) = drawn(2, (5,)).values()
    larger = resized(images, 13, 7)
    assert larger.shape == (2, 1, 13, 7)
    _, first = np.unique(np.arange(13) * 5 // 13, return_index=True)
    np.testing.assert_array_equal(
        larger[:, :, first][..., np.unique(np.arange(7) * 5 // 7, return_index=True)[1]], images
    )
    assert stages(drawn(2, (5, 7))).axes
