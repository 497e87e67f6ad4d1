"""Images of any number of channels: each channel in a row of its own, numbered, and never a wall of them."""

import numpy as np
import pytest
import torch

from vaelab.figures.by_class import by_class
from vaelab.figures.columns import columns
from vaelab.figures.generated_samples import generated_samples
from vaelab.figures.interpolations import interpolations
from vaelab.figures.level_traversals import level_traversals
from vaelab.figures.manifold import FEW, manifold
from vaelab.figures.pseudo_inputs import pseudo_inputs
from vaelab.figures.reconstructions import reconstructions
from vaelab.figures.stages import stages
from vaelab.figures.tiles import BAND, SEAM, THIN, cell, few_images, few_rows, shown, tile

RNG = np.random.default_rng(0)
CHANNELS = [2, 4, 13, 16]


def images(*shape):
    return RNG.random(shape, np.float32)


FIGURES = {
    "samples": lambda image: generated_samples(images(40, *image)),
    "one sample": lambda image: generated_samples(images(1, *image)),
    "reconstructions": lambda image: reconstructions(images(12, *image), images(12, *image)),
    "interpolations": lambda image: interpolations(images(2, 11, *image), title="T"),
    "columns": lambda image: columns({"real": images(12, *image), "a run": images(12, *image)}, title="T"),
    "pseudo-inputs": lambda image: pseudo_inputs(images(20, *image), RNG.dirichlet(np.ones(20)), title="T"),
    "levels": lambda image: level_traversals(*(images(1, *n, *image) for n in ((), (), (2, 12))), title="T"),
    "stages": lambda image: stages({str(side): images(12, image[0], side, side) for side in (4, 8)}),
    "classes": lambda image: by_class(
        torch.from_numpy(images(10, 12, *image)), [f"class {i}" for i in range(10)], title="T"
    ),
    "plane": lambda image: manifold(images(FEW**2, *image), title="T"),
}


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("side", [8, 28])
def test_channels_are_numbered_and_all_texts_are_whole_and_apart(name, channels, side):
    figure = FIGURES[name]((channels, side, side))
    written = [t for t in [*figure.texts, *figure.axes[0].texts] if t.get_text()]
    boxes = [text.get_window_extent() for text in written]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    numbers = [int(text.get_text().split()[1]) for text in written if text.get_text().startswith("channel")]
    assert numbers[0] == 0 and set(numbers) <= set(range(channels))
    assert len(numbers) % len(set(numbers)) == 0 and len(set(numbers)) >= channels // 2


@pytest.mark.parametrize("channels", [2, 4, 16])
@pytest.mark.parametrize(("n", "across", "factor"), [(1, 1, 1), (5, 3, 2)])
def test_channel_c_of_an_image_stands_in_row_c_of_its_cell(channels, n, across, factor):
    x = images(n, channels, 5, 4)
    sheet, (height, width) = tile(x, across, factor=factor), cell(x.shape, factor)
    assert sheet.shape == (-(-n // across) * (height + BAND) - BAND, across * (width + 2) - 2, 3)
    for i in range(n):
        top, left = i // across * (height + BAND), i % across * (width + 2)
        for c in range(channels):
            begin = top + c * (5 * factor + THIN)
            found = sheet[begin : begin + 5 * factor, left : left + width]
            wanted = np.rint(x[i, c] * 255).repeat(factor, 0).repeat(factor, 1)
            np.testing.assert_array_equal(found, np.broadcast_to(wanted[..., None], found.shape))
            if c:
                assert (sheet[begin - THIN : begin, left : left + width] == SEAM).all()


def test_three_channels_can_be_chosen_as_colours():
    x = torch.rand(2, 5, 4, 4) * 2 - 0.5
    picture = shown(x, (4, 2, 0))
    torch.testing.assert_close(picture, x[:, [4, 2, 0]].clamp(0, 1), rtol=0, atol=0)
    assert shown(x).shape == x.shape and shown(x.numpy()).max() == 1
    assert shown(torch.full((1, 1, 2, 2), torch.nan)).isnan().all()  # which a sheet refuses


@pytest.mark.parametrize("channels", range(1, 17))
def test_a_sheet_is_no_wall_and_grey_and_colour_stay_whole(channels):
    shape = (channels, 8, 8)
    if channels in (1, 3):
        assert (few_images(64, shape), few_rows(40, shape)) == (64, 40)
    else:
        assert 12 <= few_images(64, shape) <= 64 and few_images(64, shape) * channels <= 12 * 16
        assert 1 <= few_rows(10, shape) <= 10 and few_rows(10, shape) * channels <= 26
    assert few_images(5, shape) == 5 and few_rows(1, shape) == 1
