"""A VampPrior's pseudo-inputs, those that win the most images first, and how evenly they share them."""

import math

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vaelab.data.source import Split
from vaelab.distributions.latent import condition
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.decoding import SEED
from vaelab.figures.style import DPI, INK, MUTED, PALETTE, SMALL, TEXT, TRAIN, house, quiet, text_width
from vaelab.figures.tiles import (
    GAP,
    MARGIN,
    Colours,
    cell,
    centres,
    channel_rows,
    enlarge,
    few_images,
    join,
    mount,
    shown,
    tile,
)
from vaelab.metrics.batches import batches
from vaelab.model import VAE, device_of
from vaelab.registry import register
from vaelab.roles import Latent

ENCODED = 5000  # images
SHOWN = 64  # pseudo-inputs
BROADEST = 24  # images per row: with more, a share would be wider than the image above it
FEW = 8  # images that stand in one row, even if they are all
LINE = 1.5 * SMALL  # points from one row of images to the next, for the shares
HEAD, PANEL, FOOT, SIDE = 28.0, 90.0, 26.0, 28.0  # points above, of, below and at the left of the lower panel


@register(
    "figure",
    "pseudo_inputs",
    About(
        "Pseudo-inputs",
        "What the prior is a mixture of, with the share of images each wins.",
        "pseudo_inputs",
        usual=True,
        part=("prior", "vamp"),
    ),
)
@torch.no_grad()
def components(model: VAE, split: Split, colours: Colours = None, *, title: str = "Pseudo-inputs") -> Figure:
    """What a mixture prior is made of, and how often each component is the likeliest for a draw of q(z | x)."""
    if (pictures := model.pseudo_inputs) is None:
        raise NotApplicable("it needs a prior of pseudo-inputs, such as vamp")
    p, wins = model.p_z(), []
    with seeded(SEED, device_of(model)):
        for x, y in batches(model, split[:ENCODED]):
            mixture = condition(p, y)
            assert isinstance(mixture, Latent)
            wins.append(mixture.responsibilities(model.q_z(x, y).sample()).argmax(-1))
    share = torch.cat(wins).bincount(minlength=len(pictures)).double() / sum(map(len, wins))
    return pseudo_inputs(shown(pictures.cpu(), colours), share.cpu(), title=title)


@house
def pseudo_inputs(images: ArrayLike, responsibility: ArrayLike, *, title: str) -> Figure:
    """Pseudo-inputs with the share of images that each wins below it, and a panel of all the shares, sorted.

    A pseudo-input u_k of p(z) = 1/K Σ_k q(z | u_k) wins an image if it is the most probable component for the
    image's latent. The effective number is exp(H) with H = −Σ_k r_k log r_k: K if all win equally often (the dashed
    line of the panel), 1 if one wins all images (Tomczak and Welling 2018 for the prior).

    Of images [K, C, H, W] and the share [K] of images that each wins.
    """
    array, shares = np.asarray(images), np.asarray(responsibility, np.float64)
    order = np.argsort(-shares, kind="stable")
    count = few_images(SHOWN, array.shape)
    array, shares, hidden = array[order[:count]], shares[order], max(0, len(array) - count)
    heading = f"{title}: the {count} that win most often, {hidden} not shown" if hidden else title
    figure = gallery(array, [percent(share) for share in shares[:count]], heading, summary(shares))
    sorted_shares(figure, shares, count)
    return figure


def summary(shares: NDArray) -> str:
    """How many win at all, and the exponential of the entropy."""
    winners = shares[shares > 0]
    effective = math.exp(-(winners * np.log(winners)).sum())
    some = f"{len(winners)} of {len(shares)} pseudo-inputs win for at least one image"
    return f"{some}; effective number exp(H) = {effective:.1f}"


def percent(share: float) -> str:
    """A share in per cent, as short as tells it from none."""
    if share == 0:
        return "0%"
    if share < 5e-5:
        return "<0.01%"
    digits = 0 if share > 0.9995 else 1 if share >= 0.00995 else 2
    return f"{share:.{digits}%}"


def gallery(images: NDArray, labels: list[str], title: str, note: str) -> Figure:
    """Rows of images with a label below each, and room for the lower panel."""
    per_row = full_rows(*images.shape)
    rows, wide = -(-len(images) // per_row), text_width(labels, SMALL) + 3
    factor = max(enlarge(rows, per_row, images.shape), math.ceil(wide * DPI / 72 / images.shape[-1]))
    height, width = cell(images.shape, factor)
    strip = round(LINE * DPI / 72 * max(1.0, (per_row * (width + GAP) - GAP) / 1500))
    bands = [tile(images[i : i + per_row], per_row, factor=factor) for i in range(0, len(images), per_row)]
    heights = [i * (height + strip) + (height - 1) / 2 for i in range(rows)]
    channels, below = channel_rows(heights, images.shape, factor), LINE + HEAD + PANEL + FOOT
    figure, axes = mount(join(bands, strip, axis=0), title=title, note=note, channels=channels, bottom=below)
    for i, label in enumerate(labels):
        place = centres(per_row, width)[i % per_row], i // per_row * (height + strip) + height + strip / 2
        colour = MUTED if label == "0%" else INK
        axes.text(*place, label, ha="center", va="center", fontsize=SMALL, color=colour)
    return figure


def full_rows(n: int, *image: int) -> int:
    """Images [C, H, W] per row for a sheet a little wider than tall, whose last row is as full as can be."""
    height, width = cell(image, 1)
    wanted = min(n, max(FEW, min(BROADEST, math.sqrt(1.3 * n * height / width))))
    near = range(math.ceil(0.8 * wanted), min(n, BROADEST, math.ceil(1.3 * wanted)) + 1)
    return min(near, key=lambda columns: (-n % columns, abs(columns - wanted)))


def sorted_shares(figure: Figure, shares: NDArray, shown: int) -> None:
    """All shares in falling order, those not shown above in grey, and the line on which all would be equal."""
    width, height = 72 * figure.get_size_inches()
    count, even, edges = min(shown, len(shares)), 1 / len(shares), np.arange(len(shares) + 1) + 0.5
    west, east, south = MARGIN + SIDE, max(MARGIN, text_width([str(len(shares))], SMALL) / 2 + 2), MARGIN + FOOT
    axes = quiet(figure.add_axes((west / width, south / height, 1 - (west + east) / width, PANEL / height)))
    axes.stairs(shares[:count], edges[: count + 1], fill=True, color=TRAIN)
    line = axes.axhline(even, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"uniform, 1/K = {percent(even)}")
    keys: list[Artist] = [line]
    if count < len(shares):
        axes.stairs(shares[count:], edges[count:], fill=True, color=PALETTE[-1])
        keys = [Patch(color=TRAIN, label="shown"), Patch(color=PALETTE[-1], label="not shown"), line]
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.1 * shares[0]), xlabel="rank")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    figure.text(MARGIN / width, (south + PANEL + 7) / height, "Share of images won", fontsize=TEXT + 1)
    axes.legend(handles=keys, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, handlelength=1.4, borderaxespad=0.2)
