"""Boxes and violins show the numbers they are given, beside the reference."""

import numpy as np
import pytest

from vaelab.figures.distributions import MOST, boxes, violins

RNG = np.random.default_rng(0)
SETS = {"real": RNG.gamma(2, 1, 500), "a": RNG.gamma(2, 2, 500), "b (3 seeds)": RNG.gamma(3, 1, 70)}
VALUES = {"sharpness": SETS, "contrast": {name: row + 1 for name, row in SETS.items()}}


@pytest.mark.parametrize("draw", [boxes, violins])
def test_every_quantity_has_a_panel_and_every_set_a_row(draw):
    figure = draw(VALUES)
    assert [axes.get_title("left") for axes in figure.axes] == list(VALUES)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(SETS)
    top, bottom = sorted(figure.axes[0].get_ylim())
    assert figure.axes[0].yaxis_inverted() and top < 1 and bottom > len(SETS)


@pytest.mark.parametrize("draw", [boxes, violins])
@pytest.mark.parametrize("row", [[3.0], [2.0] * 40, np.zeros(10), np.arange(MOST + 7)])
def test_draws_few_equal_and_many(draw, row):
    figure = draw({"x": {"real": row, "a": [1.0, 2.0]}})
    assert np.isfinite(figure.axes[0].get_xlim()).all()


def test_boxes_are_quartiles_and_whiskers_5_to_95():
    axes = boxes({"x": {"real": SETS["real"]}}).axes[0]
    edges = axes.patches[0].get_path().vertices[:, 0]
    np.testing.assert_allclose([edges.min(), edges.max()], np.percentile(SETS["real"], [25, 75]))
    ends = np.concatenate([line.get_xdata() for line in axes.lines])
    for percent in (5, 50, 95):
        reached = np.percentile(SETS["real"], percent)
        below, above = SETS["real"][SETS["real"] <= reached].max(), SETS["real"][SETS["real"] >= reached].min()
        assert any(below <= x <= above for x in ends)  # whiskers end at the last image within
    assert axes.get_xlim()[0] == 0


def test_boxes_of_negative_numbers_are_in_sight():
    axes = boxes({"x": {"real": [-3.0, -2.0, -1.0]}}).axes[0]
    assert axes.get_xlim()[0] < -2


def test_violins_are_about_the_mean_of_the_reference():
    axes = violins(VALUES).axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [SETS[name].mean() - SETS["real"].mean() for name in SETS], atol=1e-12)


def test_the_reference_is_grey_and_others_keep_their_colour():
    def colours(values):
        return [patch.get_facecolor() for patch in boxes(values).axes[0].patches]

    grey, first, second = colours({"x": SETS})
    assert len({grey, first, second}) == 3
    assert colours({"x": {"a": SETS["a"], "real": SETS["real"]}}) == [first, grey]
