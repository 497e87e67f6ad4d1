"""The figures that a run allows: each registered one with what it needs of model, data and log."""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import vaelab.figures  # noqa: F401  # registers all figures
from vaelab.errors import NotApplicable, UsageError
from vaelab.figures.style import save
from vaelab.registry import hint, names, part
from vaelab.registry.schema import build


def draw(folder: Path, only: Iterable[str] = (), **known: Any) -> Iterator[Path]:
    """Draw all figures that can be drawn, or those asked for, as PNG files in a folder.

    What is `known`: `model`, its `data` and the `split` that is shown, all None where there is no model yet; `rows` of
    the log, `results` or None, samples of stages, `grown`, by name, and what the validation loss is called, `bound`.
    Figures of images are told of the channels that stand for `colours`, too.
    """
    known |= {"colours": known["data"] and known["data"].colours}
    chosen = list(only)
    if strange := [name for name in chosen if name not in names("figure")]:
        raise UsageError(f"there is no figure {strange[0]!r}; {hint(strange[0], names('figure'))}")
    for name in chosen or names("figure"):
        wanted = inspect.signature(part("figure", name)).parameters
        try:
            if known["model"] is None and {"model", "data", "split"} & set(wanted):
                raise NotApplicable("it needs a trained model")
            figure = build("figure", name, **known)
        except NotApplicable as reason:
            if chosen:
                raise UsageError(f"figure {name!r} cannot be drawn of this run; {reason}") from reason
            continue
        yield save(figure, folder / f"{name}.png")
