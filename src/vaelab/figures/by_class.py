"""Images by class: a row for each, its name at the left."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vaelab.data.source import Dataset
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED
from vaelab.figures.style import TEXT, house, text_width
from vaelab.figures.tiles import as_images, centres, enlarge, label_rows, mount, tile
from vaelab.model import VAE
from vaelab.registry import register
from vaelab.samplers.drawing import images

ACROSS = 12  # samples of each class
LONGEST = 130.0  # points that a name may take
MOST = 60  # letters of which even the narrowest take more


@register("figure", "classes", About("Samples of each class", "A row of samples for each class."))
def classes(model: VAE, data: Dataset, *, title: str = "Samples of each class") -> Figure:
    """Mean images of each class, a row for each."""
    if not model.classes:
        raise NotApplicable("it needs a conditional model (model.condition)")
    names = data.classes or [str(i) for i in range(model.classes)]
    labels = torch.arange(len(names)).repeat_interleave(ACROSS)
    drawn = images(model, model.p_z(), len(labels), SEED, labels=labels)
    return by_class(drawn.unflatten(0, (len(names), ACROSS)), names, title=title)


@house
def by_class(images: ArrayLike, names: Sequence[str], *, title: str = "Images by class") -> Figure:
    """Rows of images [R, S, C, H, W], each named at its left; the middle of a long name is left out."""
    array = as_images(images, dimensions=5)
    rows, across, _, height, _ = array.shape
    factor, labels = enlarge(rows, across, array.shape), [shortened(str(name)) for name in names]
    picture = tile(array.reshape(-1, *array.shape[2:]), across, factor=factor)
    figure, axes = mount(picture, title=title, left=text_width(labels, TEXT) + 5)
    label_rows(axes, centres(rows, height * factor), labels)
    return figure


def shortened(name: str) -> str:
    """The name on one line, its middle left out if it exceeds `LONGEST`: names often differ in their last word."""
    whole = " ".join(name.split())
    short = hollow(whole, MOST)  # letters are slow to measure
    while len(short) > 3 and (width := text_width([short], TEXT)) > LONGEST:
        short = hollow(whole, min(len(short) - 2, int(len(short) * LONGEST / width)))
    return short


def hollow(text: str, letters: int) -> str:
    """So many of the letters, two of three from the beginning, with dots where some are missing."""
    end = letters // 3
    return text if letters >= len(text) else f"{text[: letters - end].rstrip()}…{text[len(text) - end :].lstrip()}"
