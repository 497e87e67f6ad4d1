"""The latent space: the right points, colours, names and axes."""

import numpy as np
import pytest

from vaelab.figures.latent_space import latent_space

RNG = np.random.default_rng(0)


def ring(n=400, classes=4):
    """Well separated classes on a circle, and their labels."""
    y = np.arange(n) % classes
    angle = 2 * np.pi * y / classes
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * RNG.normal(size=(n, 2)), y


def legend(figure):
    found = figure.axes[0].get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


@pytest.mark.parametrize("n", [1, 2, 3000])
@pytest.mark.parametrize("d", [1, 2, 3, 40])
@pytest.mark.parametrize("labels", [None, "classes", "quantity"])
def test_draws_every_size(n, d, labels):
    y = {None: None, "classes": np.arange(n) % 10, "quantity": np.linspace(0, 1, n)}[labels]
    assert latent_space(RNG.normal(size=(n, d)), y).axes


def test_two_dimensions_are_plotted_as_they_are():
    z, _ = ring()
    axes = latent_space(z).axes[0]
    drawn = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(drawn[drawn[:, 0].argsort()], z[z[:, 0].argsort()])
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_aspect()) == ("z1", "z2", 1)
    assert [circle.get_radius() for circle in axes.patches] == [1, 2, 3]


def test_more_dimensions_go_through_pca():
    z = RNG.normal(size=(2000, 6)) * [0.1, 3.0, 0.1, 4.0, 0.1, 0.1]
    axes = latent_space(z).axes[0]
    shares = np.sort(z.var(0))[::-1][:2] / z.var(0).sum()
    for label, share in zip((axes.get_xlabel(), axes.get_ylabel()), shares, strict=True):
        assert f"({share:.0%} of variance)" in label
    spread = np.asarray(axes.collections[0].get_offsets()).std(0)
    np.testing.assert_allclose(spread, [4, 3], rtol=0.1)
    assert not axes.patches  # the prior is no circle in these coordinates


def test_separate_classes_are_named_where_they_are():
    z, y = ring()
    figure = latent_space(z, y, ["east", "north", "west", "south"])
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert set(places) == {"east", "north", "west", "south"}
    np.testing.assert_allclose(places["north"], np.median(z[y == 1], 0))
    assert not legend(figure)


def test_overlapping_classes_get_a_legend():
    figure = latent_space(RNG.normal(size=(500, 2)), np.arange(500) % 3, ["a", "b", "a $ sign"])
    assert legend(figure) == ["a", "b", "a $ sign"]
    box = figure.axes[0].get_legend().get_window_extent(figure.canvas.get_renderer())
    assert box.x1 <= figure.bbox.x1


def test_points_keep_their_colours():
    z, y = ring(classes=2)
    dots = latent_space(z, y).axes[0].collections[0]
    east = np.asarray(dots.get_offsets())[:, 0] > 0
    assert len(np.unique(dots.get_facecolors()[east], axis=0)) == 1
    assert len(np.unique(dots.get_facecolors(), axis=0)) == 2


def test_one_dimension_is_a_density_against_the_prior():
    figure = latent_space(RNG.normal(size=(5000, 1)), np.arange(5000) % 2, ["even", "odd"])
    assert set(legend(figure)) == {"even", "odd", "standard normal"}
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "density")


def test_a_collapsed_latent_looks_collapsed():
    low, high = latent_space(1e-3 * RNG.normal(size=(100, 2))).axes[0].get_xlim()
    assert high - low > 2


def test_many_classes_get_a_colour_bar():
    z, _ = ring()
    figure = latent_space(z, np.arange(len(z)) % 100)
    assert not legend(figure)
    assert figure.axes[0].child_axes


@pytest.mark.parametrize(
    ("means", "labels", "classes", "says"),
    [
        (np.full((2, 2), np.nan), None, None, "NaN"),
    ],
)
def test_arguments_are_checked(means, labels, classes, says):
    with pytest.raises(ValueError, match=says):
        latent_space(means, labels, classes)
