"""The pictures in a run folder as parts of a page: which there are, what they show, and how to draw those that miss."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from PIL import Image

import vaelab.figures  # noqa: F401  # registers all figures
from vaelab.data.encoded.decode import open_image
from vaelab.figures.about import About, about_figure
from vaelab.io.formatting import typed
from vaelab.registry import names, part
from vaelab.runs.folder import RunFolder

LARGE = 500_000  # bytes of a PNG that is worth encoding anew
COPYING = 60  # seconds that copying a folder may take, file by file


@dataclass(frozen=True)
class Picture:
    """A picture of one run: `uri` holds all of it."""

    run: str
    uri: str
    size: tuple[int, int]
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Exhibit:
    """The pictures of one figure, a run each, and a sentence for each run that lacks it."""

    name: str
    title: str
    text: str
    first: bool
    pictures: list[Picture]
    missing: list[str]


def exhibits(runs: Sequence[RunFolder]) -> list[Exhibit]:
    """All that the runs' folders hold, and what is missing of the usual figures."""
    found = []
    about = {name: about_figure(name) for name in names("figure")}
    known = {name: figure for name, figure in about.items() if figure.caption}
    for name, shown in sorted(known.items(), key=lambda item: (not item[1].first, not item[1].usual)):
        title, text = shown.title, shown.caption
        pictures, missing = [], []
        for run in runs:
            path, note = _find(run, name, shown.progress)
            draw = f"vaelab figures {typed(run.path)}"
            picture = None if path is None else _picture(path, run.name, f"{title} of {run.name}. {text}", note)
            if picture is not None:
                pictures.append(picture)
            elif path is not None:
                missing.append(f"{path.name} of {run.name} cannot be read; draw it again: {draw}")
            elif _is_due(shown, run):
                missing.append(f"{run.name} has none yet; draw it: {draw} {name}")
        if pictures or missing:
            found.append(Exhibit(name, title, text, shown.first, pictures, missing))
    return found


def _is_due(figure: About, run: RunFolder) -> bool:
    """Whether a run could have this figure and usually has."""
    usual = figure.usual and (figure.part is None or run.recipe.part(figure.part[0]).kind == figure.part[1])
    return usual and run.has_model


def _find(run: RunFolder, name: str, epoch: str) -> tuple[Path | None, str]:
    """The figure, else the same of the last epoch that was drawn; and a remark on its age."""
    path, model = run.figures / f"{name}.png", run.model_file
    if path.is_file():
        older = model.exists() and path.stat().st_mtime < model.stat().st_mtime - COPYING
        return path, "drawn before the last training; draw it again: vaelab figures" if older else ""
    drawn = sorted(run.figures.glob(f"epoch_*_{epoch}.png")) if epoch else []
    of = ", of validation images" if "split" in signature(part("figure", name)).parameters else ""
    return (drawn[-1], f"drawn while training{of}") if drawn else (None, "")


def _picture(path: Path, run: str, alt: str, note: str) -> Picture | None:
    """The file as it is, or as WebP where that is large; None where it is no picture."""
    try:
        content, kind = path.read_bytes(), "png"
        with open_image(io.BytesIO(content)) as image:
            image.load()
            size = image.size
            if len(content) > LARGE:
                content, kind = min((content, kind), (_webp(image), "webp"), key=lambda pair: len(pair[0]))
    except (OSError, ValueError, SyntaxError):  # what PIL makes of damaged files
        return None
    return Picture(run, f"data:image/{kind};base64,{base64.b64encode(content).decode()}", size, alt, note)


def _webp(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "WEBP", quality=88, method=2)
    return stream.getvalue()
