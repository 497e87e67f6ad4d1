"""Images by class: a row for each class, and every name beside its row."""

import numpy as np
import pytest

from vaelab.figures.by_class import LONGEST, shortened
from vaelab.figures.style import TEXT, text_width
from vaelab.figures.tiles import enlarge, grid, tile

RNG = np.random.default_rng(0)


def legible(figure):
    """All texts lie within the figure, and no two of them touch."""
    boxes = [t.get_window_extent() for t in [*figure.texts, *figure.axes[0].texts] if t.get_text()]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("shape", [(2, 1, 3, 64, 64), (10, 10, 1, 28, 28), (40, 12, 1, 28, 20), (40, 3, 3, 8, 8)])
def test_row_r_holds_class_r_and_its_name_stands_level(shape):
    images, names = RNG.random(shape, np.float32), [f"class {r}" for r in range(shape[0])]
    figure = grid(images, names, title="T")
    legible(figure)
    axes = figure.axes[0]
    shown = np.asarray(axes.images[0].get_array())
    factor = enlarge(*shape[:2], shape)
    np.testing.assert_array_equal(shown, tile(images.reshape(-1, *shape[2:]), shape[1], factor=factor))
    assert [text.get_text() for text in axes.texts] == names
    pitch, top = shape[3] * factor + 2, axes.get_window_extent().y1
    for r, text in enumerate(axes.texts):
        box = text.get_window_extent()
        assert (top - (box.y0 + box.y1) / 2) // pitch == r


def test_long_names_are_shortened_and_stay_apart():
    names = [f"a person who is\n{'not ' * 12}smiling, and {end}" for end in ("young", "old")]
    figure = grid(RNG.random((2, 4, 1, 28, 28)), [shortened(name) for name in names], title="T")
    legible(figure)
    first, second = (text.get_text() for text in figure.axes[0].texts)
    assert first != second and first.startswith("a person who") and first.endswith("young") and "…" in first
    assert text_width([first, second], TEXT) <= LONGEST


def test_short_names_stay_whole():
    assert [shortened(name) for name in ("", "7", "dress", "5_o_Clock_Shadow")] == [
        "",
        "7",
        "dress",
        "5_o_Clock_Shadow",
    ]
