"""The overlay of aggregated posterior and prior: the right dimensions in the right order, densities that compare."""

import numpy as np
import pytest

from vaelab.figures.aggregate_posterior import aggregate_posterior

RNG = np.random.default_rng(0)


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.mark.parametrize("n", [1, 2, 3000])
@pytest.mark.parametrize("d", [1, 4, 7, 40])
def test_draws_every_size(n, d):
    figure = aggregate_posterior(RNG.normal(size=(n, d)), RNG.normal(size=(50, d)))
    assert len(shown(figure)) == min(d, 20)


def test_the_largest_distance_comes_first_by_its_name():
    q, p = RNG.normal(size=(2000, 3)), RNG.normal(size=(2000, 3))
    q[:, 1] += 10
    q[:, 2] += 0.5
    first, second, third = shown(aggregate_posterior(q, p))
    assert [axes.get_title("left") for axes in (first, second, third)] == ["z2", "z3", "z1"]
    assert first.get_title("right") == "KS 1.00"


def test_histograms_are_densities_in_the_same_bins():
    axes = shown(aggregate_posterior(2 * RNG.normal(size=(5000, 1)), RNG.normal(size=(9000, 1))))[0]
    filled, outline = (patch.get_xy() for patch in axes.patches)
    assert set(outline[:, 0]) <= set(filled[:, 0])
    for path in (filled, outline):
        x, y = path.T
        area = abs(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])) / 2)
        assert area == pytest.approx(1)
    low, high = axes.get_xlim()
    assert low < -5 < 5 < high


def test_what_is_left_out_is_said():
    draws = RNG.normal(size=(20, 30))
    figure = aggregate_posterior(draws, draws)
    assert "20 of 30 dimensions" in figure.get_suptitle()
    assert "dimensions" not in aggregate_posterior(draws[:, :20], draws[:, :20]).get_suptitle()


def test_title_and_legend_keep_clear_of_each_other():
    draws = RNG.normal(size=(20, 1))
    figure = aggregate_posterior(draws, draws)
    legend = figure.legends[0].get_window_extent()
    assert figure._suptitle.get_window_extent().x1 < legend.x0
    assert legend.x1 <= figure.bbox.x1


def test_a_dimension_without_spread_can_be_drawn():
    figure = aggregate_posterior(np.zeros((10, 1)), np.zeros((10, 1)))
    assert shown(figure)[0].get_title("right") == "KS 0.00"


@pytest.mark.parametrize(
    ("posterior", "prior", "says"),
    [
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
    ],
)
def test_arguments_are_checked(posterior, prior, says):
    with pytest.raises(ValueError, match=says):
        aggregate_posterior(posterior, prior)
