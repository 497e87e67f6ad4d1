"""Pseudo-inputs: the busiest first, each above its own share, and the shares summed up truly."""

import io

import numpy as np
import pytest
from PIL import Image

from vaelab.figures.pseudo_inputs import full_rows, percent, pseudo_inputs, summary
from vaelab.figures.style import SMALL

RNG = np.random.default_rng(0)


def shares(count):
    """Won images over their number; some win none."""
    won = RNG.multinomial(10_000, RNG.dirichlet(np.full(count, 0.3)))
    return won / won.sum()


def levels(count, shape=(1, 8, 8)):
    """Image k has level k everywhere."""
    return np.full((count, *shape), 1, np.uint8) * np.arange(count, dtype=np.uint8)[:, None, None, None]


def labels(figure):
    """Text and place in the picture of every share, in reading order."""
    return [(text.get_text(), *map(round, text.get_position())) for text in figure.axes[0].texts]


def legible(figure):
    """All texts lie within the figure, and no two of them touch."""
    lower = figure.axes[1]
    ticks = [t for a in (lower.xaxis, lower.yaxis) for t in a.get_ticklabels() if drawn(t, lower)]
    found = [*figure.texts, *figure.axes[0].texts, *lower.get_legend().get_texts(), *ticks, lower.xaxis.label]
    boxes = [text.get_window_extent() for text in found if text.get_text()]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def drawn(tick, axes):
    (west, east), (low, high), (x, y) = axes.get_xlim(), axes.get_ylim(), tick.get_position()
    return west <= x <= east if tick in axes.get_xticklabels() else low <= y <= high


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 28, 20), (3, 64, 64), (1, 28, 6)])
@pytest.mark.parametrize("count", [1, 3, 100, 1000])
def test_it_is_legible_and_exact_at_every_size(count, shape):
    figure = pseudo_inputs(RNG.random((count, *shape), np.float32), shares(count), title="T")
    legible(figure)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=figure.dpi)
    rendered, box = np.asarray(Image.open(stream).convert("RGB")), figure.axes[0].get_position()
    left, top = round(box.x0 * rendered.shape[1]), round((1 - box.y1) * rendered.shape[0])
    row = shown[: shown.shape[0] if count == 1 else 28]  # the first images, above their shares
    np.testing.assert_array_equal(rendered[top : top + len(row), left : left + row.shape[1]], row)


def test_all_of_very_many_can_be_shown(monkeypatch):
    monkeypatch.setattr("vaelab.figures.pseudo_inputs.SHOWN", 1000)
    figure = pseudo_inputs(levels(250, (1, 28, 12)), shares(250), title="T")
    assert len(labels(figure)) == 250
    legible(figure)


def test_each_share_stands_below_its_image_and_the_largest_comes_first():
    won = np.array([0.1, 0.0, 0.5, 0.25, 0.15, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    figure = pseudo_inputs(levels(11), won, title="T")
    picture = np.asarray(figure.axes[0].images[0].get_array())
    order = [2, 3, 4, 0, 1, 5, 6, 7, 8, 9, 10]
    found = labels(figure)
    assert [text for text, *_ in found] == [percent(won[k]) for k in order]
    line = round(1.5 * SMALL * figure.dpi / 72)
    assert [picture[y - line, x, 0] for _, x, y in found] == order
    assert [text for text, *_ in found][:5] == ["50.0%", "25.0%", "15.0%", "10.0%", "0%"]


def test_of_many_the_title_says_how_many_are_not_shown(monkeypatch):
    monkeypatch.setattr("vaelab.figures.pseudo_inputs.SHOWN", 7)
    won = shares(100)
    figure = pseudo_inputs(levels(100), won, title="U")
    assert [text for text, *_ in labels(figure)] == [percent(share) for share in sorted(won, reverse=True)[:7]]
    assert figure.texts[0].get_text() == "U: the 7 that win most often, 93 not shown"
    assert pseudo_inputs(levels(7), shares(7), title="U").texts[0].get_text() == "U"


def test_the_panel_holds_every_share_sorted_and_the_uniform_one(monkeypatch):
    monkeypatch.setattr("vaelab.figures.pseudo_inputs.SHOWN", 40)
    won = shares(100)
    lower = pseudo_inputs(levels(100), won, title="T").axes[1]
    above, rest = (patch.get_data() for patch in lower.patches)
    np.testing.assert_array_equal(np.concatenate([above.values, rest.values]), np.sort(won)[::-1])
    np.testing.assert_array_equal(np.concatenate([above.edges, rest.edges[1:]]), np.arange(101) + 0.5)
    assert set(lower.lines[0].get_ydata()) == {0.01}
    assert [t.get_text() for t in lower.get_legend().get_texts()] == ["shown", "not shown", "uniform, 1/K = 1.0%"]


def test_the_summary_of_known_shares():
    assert "5 of 5" in summary(np.full(5, 0.2)) and summary(np.full(5, 0.2)).endswith("= 5.0")
    assert "2 of 4" in summary(np.array([0.5, 0.5, 0, 0])) and summary(np.array([0.5, 0.5, 0, 0])).endswith("= 2.0")
    assert "1 of 1" in summary(np.ones(1)) and summary(np.ones(1)).endswith("= 1.0")
    assert summary(np.array([0.5, 0.25, 0.25])).endswith(f"= {2**1.5:.1f}")


def test_per_cents_tell_small_from_none():
    given = (1, 0.123, 0.05, 0.0099, 0.0001, 0.00001, 0)
    assert [percent(share) for share in given] == ["100%", "12.3%", "5.0%", "0.99%", "0.01%", "<0.01%", "0%"]


def test_few_stand_in_one_row_and_rows_are_full():
    assert [full_rows(n, 1, 28, 28) for n in (1, 3, 8, 50, 64, 100)] == [1, 3, 8, 10, 8, 10]
