"""Images by class: a row for each, its name at the left."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaelab.data.source import Dataset
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED
from vaelab.figures.style import DPI, TEXT, text_width
from vaelab.figures.tiles import Colours, enlarge, few_rows, grid, shown
from vaelab.model import VAE
from vaelab.registry import register
from vaelab.samplers.drawing import images

ACROSS = 12  # samples of each class
LONGEST = 130.0  # points that a name may take
MOST = 60  # letters of which even the narrowest take more


@register("figure", "classes", About("Samples of each class", "A row of samples for each class."))
def classes(model: VAE, data: Dataset, colours: Colours = None, *, title: str = "Samples of each class") -> Figure:
    """Mean images of each class, a row for each."""
    if not model.classes:
        raise NotApplicable("it needs a conditional model (model.condition)")
    names = data.classes or [str(i) for i in range(model.classes)]
    labels = torch.arange(len(names)).repeat_interleave(ACROSS)
    drawn = shown(images(model, model.p_z(), len(labels), SEED, labels=labels), colours)
    return by_class(drawn.unflatten(0, (len(names), ACROSS)), names, title=title)


def by_class(images: Tensor, names: Sequence[str], *, title: str) -> Figure:
    """Images [K, S, C, H, W], a row for each class; a column of fewer where rows of all channels would be too many."""
    rows = few_rows(len(images), images.shape)
    if rows == len(images):
        return grid(images, [shortened(name) for name in names], title=title)
    columns = images[:, :rows].transpose(0, 1)
    room = enlarge(rows, len(names), images.shape) * images.shape[-1] * 72 / DPI
    return grid(columns, heads=[shortened(name, room) for name in names], title=title)


def shortened(name: str, longest: float = LONGEST) -> str:
    """The name on one line, its middle left out if it exceeds so many points: names often differ in their last word."""
    whole = " ".join(name.split())
    short = hollow(whole, MOST)  # letters are slow to measure
    while len(short) > 3 and (width := text_width([short], TEXT)) > longest:
        short = hollow(whole, min(len(short) - 2, int(len(short) * longest / width)))
    return short


def hollow(text: str, letters: int) -> str:
    """So many of the letters, two of three from the beginning, with dots where some are missing."""
    end = letters // 3
    return text if letters >= len(text) else f"{text[: letters - end].rstrip()}…{text[len(text) - end :].lstrip()}"
