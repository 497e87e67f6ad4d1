"""Columns: every image where it belongs, every name whole above its column."""

import numpy as np
import pytest

from vaelab.figures.columns import APART, columns


def levels(count: int, first: int = 0, shape=(1, 8, 8)) -> np.ndarray:
    """Images of one level each, all different."""
    return np.full((count, *shape), 1, np.uint8) * (first + np.arange(count, dtype=np.uint8))[:, None, None, None]


def picture(figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def test_an_image_stands_level_with_those_of_the_same_number():
    shown = picture(columns({"original": levels(24), "a": levels(24, 100)}, title="T"))
    width = (shown.shape[1] - APART) // 2
    left, right = shown[:, :width], shown[:, width + APART :]
    assert left.shape == right.shape
    size = (width + 2) // 8 - 2
    for i in range(24):
        y, x = i // 8 * (size + 2) + size // 2, i % 8 * (size + 2) + size // 2
        assert (left[y, x, 0], right[y, x, 0]) == (i, 100 + i)


@pytest.mark.parametrize("sets", [1, 3, 12])
@pytest.mark.parametrize("count", [1, 7, 24])
def test_the_last_row_is_full_and_names_are_whole_and_apart(sets, count):
    names = [f"digits-vamp-{i}-20260801-101010" for i in range(sets)]
    figure = columns({name: levels(count) for name in names}, title="Samples", note="A note.")
    texts = figure.axes[0].texts
    assert ["".join(text.get_text().split("\n")) for text in texts] == names
    boxes = [text.get_window_extent() for text in texts]
    assert all(a.x1 <= b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
    above = min(text.get_window_extent().y0 for text in figure.texts if text.get_text())
    assert all(box.y1 <= above and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not (picture(figure)[-1, 1 : figure.axes[0].images[0].get_size()[1] // sets - APART] == 255).any()


def test_colour_and_floats_are_taken():
    assert columns({"a": levels(4, shape=(3, 5, 9)), "b": np.zeros((4, 3, 5, 9), np.float32)}, title="T").axes
