"""Levels of a hierarchy: the KL of each as logged, the images of each in their rows."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from vaelab.errors import NotApplicable
from vaelab.figures.level_kl import level_kl
from vaelab.figures.level_traversals import APART, level_traversals
from vaelab.figures.tiles import GAP, enlarge, tile

RNG = np.random.default_rng(0)


def rows(levels=3, epochs=20):
    """A run whose KL grows, more so in lower levels."""
    out = []
    for epoch in range(1, epochs + 1):
        for split, more in (("train", 0.0), ("valid", 0.5)):
            kl = {f"kl_{level}": level * (1 - np.exp(-epoch / 5)) + more for level in range(1, levels + 1)}
            out.append(
                {"kind": "epoch", "epoch": epoch, "step": 10 * epoch, "split": split, "kl": sum(kl.values()), **kl}
            )
    return out


def names(levels):
    return ["level 1 (top)", *(f"level {level}" for level in range(2, levels + 1))]


def inside(figure):
    """All texts lie within the figure, and those beside the panels do not touch."""
    beside = [text for axes in figure.axes[1:] for text in axes.get_yticklabels()]
    found = [*figure.texts, *(text for axes in figure.axes for text in (axes._left_title, *axes.texts)), *beside]
    boxes = [text.get_window_extent() for text in found if text.get_text()]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("levels", [1, 2, 5, 14])
def test_a_line_and_a_bar_for_each_level(levels):
    log = rows(levels)
    figure = level_kl(log, title="T")
    inside(figure)
    left, right = figure.axes
    lines = iter(left.lines)
    for split in ("train", "valid"):
        found = [r for r in log if r["split"] == split]
        for level in range(1, levels + 1):
            wanted = [[r["epoch"] for r in found], [r[f"kl_{level}"] for r in found]]
            np.testing.assert_array_equal(next(lines).get_data(), wanted)
    assert next(lines, None) is None
    np.testing.assert_allclose(
        [bar.get_width() for bar in right.patches], [log[-1][f"kl_{n}"] for n in range(1, levels + 1)]
    )
    assert [text.get_text() for text in right.get_yticklabels()] == names(levels)
    assert right.get_title(loc="left") == f"Validation, epoch 20: sum {log[-1]['kl']:.2f} nats"
    assert figure._suptitle.get_text() == "T"


@pytest.mark.parametrize("levels", [2, 5, 14])
def test_a_level_has_one_colour_of_its_own(levels):
    left, right = level_kl(rows(levels)).axes
    bars = [bar.get_facecolor() for bar in right.patches]
    assert [to_rgba(line.get_color()) for line in left.lines] == 2 * bars
    assert len(set(bars)) == levels


def test_training_is_paler_than_validation():
    figure = level_kl(rows(2))
    assert [line.get_alpha() for line in figure.axes[0].lines] == [0.45, 0.45, None, None]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "validation"]


def test_the_top_level_has_the_top_bar():
    right = level_kl(rows(4)).axes[1]
    heights = [bar.get_window_extent().y0 for bar in right.patches]
    assert heights == sorted(heights, reverse=True)


def test_missing_values_are_left_out_and_an_older_last_one_says_so():
    log = rows(3)
    log[4]["kl_1"], log[-1]["kl_2"], log[5]["kl_3"] = None, float("nan"), float("inf")
    figure = level_kl(log)
    inside(figure)
    left, right = figure.axes
    assert [len(line.get_xdata()) for line in left.lines] == [19, 20, 20, 20, 19, 19]
    assert right.texts[1].get_text() == f"{log[-3]['kl_2']:.2f} (epoch 19)"
    assert right.texts[0].get_text() == f"{log[-1]['kl_1']:.2f}"


def test_before_the_first_epoch_has_ended_steps_are_drawn():
    log = [{"kind": "step", "split": "train", "step": s, "epoch": s / 10, "kl_1": 1.0 * s, "kl_2": 2.0} for s in (1, 2)]
    figure = level_kl(log)
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[1, 2], [2, 2]]
    assert figure.axes[1].get_title(loc="left") == "Train, step 2: sum 4.00 nats"


@pytest.mark.parametrize("log", [rows(3, 1), rows(3, 1)[:1], rows(3)[1:2], [{"epoch": 1, "kl_1": 0.0}]])
def test_a_single_row_is_enough(log):
    figure = level_kl(log)
    inside(figure)
    assert all(line.get_marker() == "o" for line in figure.axes[0].lines if line.get_alpha() is None)
    assert all(np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all() for axes in figure.axes)


def test_a_negative_estimate_is_drawn_as_it_is():
    figure = level_kl([{"epoch": 1, "split": "valid", "kl_1": -0.5, "kl_2": 2.0}])
    right = figure.axes[1]
    assert right.patches[0].get_width() == -0.5
    assert right.texts[0].get_text() == "−0.50"
    assert right.get_xlim()[0] <= -0.5 and figure.axes[0].get_ylim()[0] < -0.5


def test_a_run_without_levels_is_refused():
    with pytest.raises(NotApplicable, match="it needs latents of several levels"):
        level_kl([{"epoch": 1, "kl": 3.0, "kl_ratio": 1.0}])


def images(*shape):
    return RNG.integers(0, 256, shape).astype(np.float32) / 255


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 8, 8), (3, 2, 10, 1, 28, 28), (2, 5, 8, 3, 32, 24), (1, 3, 12, 3, 256, 256)]
)
def test_each_level_has_its_row_beside_the_original(shape):
    count, levels, across, *size = shape
    x, r, redrawn = images(count, *size), images(count, *size), images(*shape)
    figure = level_traversals(x, r, redrawn, title="T")
    inside(figure)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    factor = enlarge(count * max(levels, 2), 1 + across, shape)
    height, width = size[1] * factor, size[2] * factor
    band = max(levels, 2) * (height + GAP) - GAP
    assert shown.shape[0] == count * (band + APART) - APART
    covered = np.zeros(shown.shape[:2], bool)
    for i in range(count):
        top, right = i * (band + APART), shown.shape[1] - across * (width + GAP) + GAP
        for left, wanted in (
            (0, tile(np.stack([x[i], r[i]]), 1, factor=factor)),
            (right, tile(redrawn[i].reshape(-1, *size), across, factor=factor)),
        ):
            place = slice(top, top + wanted.shape[0]), slice(left, left + wanted.shape[1])
            np.testing.assert_array_equal(shown[place], wanted)
            covered[place] = True
    assert (shown[~covered] == 255).all()
    assert texts(figure) == ["original", "reconstruction"] * count + names(levels) * count


def test_names_stand_level_with_their_rows_and_clear_of_the_images():
    figure = level_traversals(images(2, 1, 28, 28), images(2, 1, 28, 28), images(2, 3, 6, 1, 28, 28), title="T")
    axes = figure.axes[0]
    box, shown = axes.get_window_extent(), np.asarray(axes.images[0].get_array())
    white = (shown == 255).all((0, 2))  # columns of pixels between the originals and what is drawn about them
    for text in axes.texts:
        at = text.get_window_extent()
        if text.get_text().startswith("level"):
            assert white[int(at.x0 - box.x0) : int(np.ceil(at.x1 - box.x0))].all()
    levels = [t.get_window_extent() for t in axes.texts[4:7]]
    pitch = (shown.shape[0] - APART + 2 * GAP) / 6
    heights = [(box.y1 - (b.y0 + b.y1) / 2) / pitch for b in levels]
    np.testing.assert_allclose(heights, [0.5, 1.5, 2.5], atol=0.1)


def test_tensors_are_taken():
    x = torch.rand(2, 1, 8, 8)
    assert level_traversals(x, x, torch.rand(2, 2, 3, 1, 8, 8), title="T").axes
