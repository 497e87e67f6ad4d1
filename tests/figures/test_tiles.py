"""Sheets of images: every pixel where it belongs, and in the file as it was given."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.figures.generated_samples import generated_samples
from vaelab.figures.interpolations import interpolations
from vaelab.figures.manifold import EXTENT, SIDE, manifold
from vaelab.figures.reconstructions import balanced, reconstructions
from vaelab.figures.tiles import SEAM, as_images, centres, enlarge, grid, join, tile

RNG = np.random.default_rng(0)


def images(*shape):
    """Floats that are whole multiples of 1/255, so that a PNG holds them exactly."""
    return RNG.integers(0, 256, shape).astype(np.float32) / 255


def png(figure):
    """The pixels of the saved file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=figure.dpi)
    return np.asarray(Image.open(stream).convert("RGB"))


def picture(figure):
    """The array that the figure shows, after checking that its file shows the same, pixel for pixel."""
    shown = np.asarray(figure.axes[0].images[0].get_array())
    rendered, height = png(figure), png(figure).shape[0]
    box = figure.axes[0].get_position()
    left, top = round(box.x0 * rendered.shape[1]), round((1 - box.y1) * height)
    crop = rendered[top : top + shown.shape[0], left : left + shown.shape[1]]
    differs = (crop != shown).any(-1)
    assert not differs.any()
    return shown


def shrink(cell, factor):
    return cell[::factor, ::factor]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def inside(figure):
    """All texts lie within the figure, and no two of them touch."""
    renderer = figure.canvas.get_renderer()
    found = [t for t in [*figure.texts, *(t for a in figure.axes for t in a.texts)] if t.get_text()]
    boxes = [text.get_window_extent(renderer) for text in found]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("n", "columns", "factor", "gap"), [(1, 1, 1, 0), (7, 3, 2, 2), (4, 9, 3, 1)])
def test_tile_puts_image_i_in_its_place(channels, n, columns, factor, gap):
    x, height, width = images(n, channels, 5, 4), 5 * factor, 4 * factor
    sheet = tile(x, columns, factor=factor, gap=gap)
    rows = -(-n // columns)
    assert sheet.shape == (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    covered = np.zeros(sheet.shape[:2], bool)
    for i in range(n):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        cell = sheet[top : top + height, left : left + width]
        covered[top : top + height, left : left + width] = True
        wanted = np.rint(np.broadcast_to(x[i], (3, 5, 4)).transpose(1, 2, 0) * 255)
        np.testing.assert_array_equal(shrink(cell, factor), wanted)
        np.testing.assert_array_equal(cell, wanted.repeat(factor, 0).repeat(factor, 1))
    between = sheet[~covered]
    seams, blank = (between == SEAM).all(-1), (between == 255).all(-1)
    assert (seams | blank).all()
    assert n % columns or seams.all()


def test_tile_takes_tensors_and_bytes():
    x = images(3, 1, 4, 4)
    np.testing.assert_array_equal(tile(torch.from_numpy(x), 3), tile(x, 3))
    np.testing.assert_array_equal(tile(np.rint(x * 255).astype(np.uint8), 3), tile(x, 3))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.full((1, 1, 2, 2), np.nan), "pixels in"),
        (np.full((1, 1, 2, 2), -1.0), "from -1 to -1"),
        (np.full((1, 1, 2, 2), 255.0), "from 255 to 255"),
    ],
)
def test_images_are_checked(bad, says):
    with pytest.raises(ValueError, match=says):
        as_images(bad)


def test_a_slight_overshoot_is_clipped():
    assert as_images(np.array([-0.1, 1.2]).reshape(1, 1, 1, 2)).ravel().tolist() == [0, 1]


def test_layout_helpers():
    assert centres(2, 4, gap=2, start=10) == [11.5, 17.5]
    small, large = np.zeros((1, 1, 3), np.uint8), np.zeros((2, 1, 3), np.uint8)
    assert join([small, large], 2, axis=1)[..., 0].tolist() == [[0, 255, 255, 0], [255, 255, 255, 0]]
    assert enlarge(8, 8, (1, 8, 8)) == 16
    assert enlarge(40, 40, (3, 256, 256)) == 1


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 1, 28, 20), (50, 3, 8, 16), (300, 1, 28, 28), (3, 3, 1, 1)])
def test_generated_samples_are_exact_in_the_file(shape):
    x = images(*shape)
    figure = generated_samples(x)
    inside(figure)
    shown = picture(figure)
    first = shown[: shape[2], : shape[3]]
    assert (first[0, 0] == np.rint(x[0, :, 0, 0] * 255)).all()
    assert figure.texts[0].get_text() == "Generated samples"


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (7, 3, 28, 20), (33, 1, 28, 28)])
def test_originals_stand_directly_above_their_reconstructions(shape):
    x, r = images(*shape), images(*shape)
    figure = reconstructions(x, r)
    inside(figure)
    shown, columns = picture(figure), balanced(*shape)
    factor = enlarge(2 * -(-shape[0] // columns), columns, shape)
    height = shape[2] * factor
    originals = tile(x[:columns], columns, factor=factor)
    np.testing.assert_array_equal(shown[:height], originals)
    np.testing.assert_array_equal(shown[height + 2 : 2 * height + 2], tile(r[:columns], columns, factor=factor))
    assert texts(figure)[:2] == ["original", "reconstruction"]


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 8), (1, 12)])
def test_manifold_is_seamless_and_labelled_in_z(channels, size):
    x = images(SIDE * SIDE, channels, size, size - 2)
    figure = manifold(x, title="T")
    inside(figure)
    factor = enlarge(SIDE, SIDE, x.shape)
    np.testing.assert_array_equal(picture(figure), tile(x, SIDE, factor=factor, gap=0))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")
    half = EXTENT / (SIDE - 1)  # the outermost images are centred at ±EXTENT
    np.testing.assert_allclose(axes.images[0].get_extent(), np.array([-1, 1, -1, 1]) * (EXTENT + half))
    assert [axes.get_yticks()[0], axes.get_yticks()[-1]] == [-EXTENT, EXTENT]


def test_a_grid_names_rows_and_columns():
    x = images(3, 5, 1, 28, 28)
    names, heads = ["z3 · 1.2 nats", "z1 · 0.5 nats", "z12 · 0.0 nats"], ["−2", "−1", "0", "+1", "+2"]
    figure = grid(x, names, heads, title="T")
    inside(figure)
    assert texts(figure) == [*names, *heads]
    np.testing.assert_array_equal(picture(figure), tile(x.reshape(15, 1, 28, 28), 5, factor=4))


@pytest.mark.parametrize("shape", [(1, 1, 1, 8, 8), (6, 25, 3, 8, 6), (40, 11, 1, 28, 28)])
def test_grids_of_any_size_stay_legible(shape):
    heads = [f"{z:+.3g}" for z in np.linspace(-3, 3, shape[1])]
    figure = grid(images(*shape), [f"z{row}" for row in range(shape[0])], heads, title="T")
    inside(figure)
    assert texts(figure)[0] == "z0"
    picture(figure)


@pytest.mark.parametrize("shape", [(1, 3, 3, 20, 28), (6, 10, 1, 28, 28)])
def test_interpolations_mark_their_ends(shape):
    x = images(*shape)
    figure = interpolations(x, title="T")
    inside(figure)
    shown, factor = picture(figure), enlarge(*shape[:2], shape)
    width = shape[4] * factor
    np.testing.assert_array_equal(shown[:, :width], tile(x[:, 0], 1, factor=factor))
    np.testing.assert_array_equal(shown[:, -width:], tile(x[:, -1], 1, factor=factor))
    bars = figure.axes[0].patches
    assert [bar.get_x() + 0.5 for bar in bars] == [0, shown.shape[1] - width]
    assert texts(figure)[0] == "0%"
