"""The house style: colours, text sizes, quiet axes, and the way a figure reaches the disk."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from vaelab.io.files import write_whole

INK, MUTED, FAINT, PAPER = "#22272e", "#6b7480", "#dfe3e8", "#ffffff"
TRAIN, VALID, ACCENT = "#0072b2", "#d55e00", "#009e73"
# Okabe and Ito (2008) with a darker yellow, then indigo and wine of Tol (2021), and grey: told apart by
# colour-blind readers too.
PALETTE = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"),
    *("#d55e00", "#332288", "#c4b000", "#882255", "#8a8f98"),
)
SEQUENTIAL = "viridis"  # for quantities, and for more classes than the palette has colours
TITLE, TEXT, SMALL = 11.0, 8.5, 7.5  # points
DPI = 150
FONT = "DejaVu Sans"  # comes with matplotlib, so a figure looks the same on every machine

_STYLE = {
    "font.family": [FONT],
    "font.size": TEXT,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT + 1,
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "figure.dpi": DPI,
    "savefig.dpi": "figure",
}
P = ParamSpec("P")


def house(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the house style, whatever the user's rcParams are, and leave those as they were."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", _STYLE]):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # matplotlib makes ticks late; make them while the style holds
            return figure

    return styled


def blank(width: float, height: float, dpi: float = DPI, layout: str | None = None) -> Figure:
    """An empty figure of this size in inches, tied to no window and to no global state."""
    figure = Figure((width, height), dpi=dpi, facecolor=PAPER, layout=layout)  # pyright: ignore[reportArgumentType]
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes, grid: str = "y") -> Axes:
    """A light grid and no left spine: the data are the darkest thing."""
    axes.grid(visible=True, axis=grid)  # pyright: ignore[reportArgumentType]
    axes.spines["left"].set_visible(False)
    return axes


def heading(figure: Figure, title: str, handles: Sequence[Artist], pads: dict[str, float]) -> None:
    """The title at the left and the legend at the right of one line above the panels, `pads` between these."""
    figure.set_layout_engine("constrained", **pads)
    figure.suptitle(title, x=0.012, ha="left", fontsize=TITLE)
    place: dict[str, Any] = {"loc": "upper right", "handlelength": 1.4, "columnspacing": 1.4, "labelcolor": MUTED}
    figure.legend(handles=list(handles), ncols=4, **place)


def remark(axes: Axes, text: str) -> None:
    """Say in the middle of an empty panel why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED, fontsize=TEXT)
    axes.set(xticks=[], yticks=[])


def signed(value: float, form: str = ".3g") -> str:
    """A number with a real minus sign."""
    return format(value, form).replace("-", "−")


def text_width(texts: Sequence[str], size: float) -> float:
    """Width of the widest text in points."""
    return max((_width(text, size) for text in texts if text.strip()), default=0.0)


@functools.lru_cache(maxsize=4096)
def _width(text: str, size: float) -> float:
    font = FontProperties(family=[FONT], size=size)
    return TextPath((0, 0), text, prop=font, size=size).get_extents().width


def save(figure: Figure, path: str | Path) -> Path:
    """Write a PNG whole or not at all: a reader never sees half a picture, nor loses the last good one."""
    path = Path(path)
    options = {"format": "png", "dpi": figure.dpi, "metadata": {"Software": None}}
    with matplotlib.style.context(["default", _STYLE]):
        write_whole(path, lambda target: figure.savefig(target, **options))
    return path
