"""The pictures in a run folder as parts of a page: which there are, what they show, and how to draw those that miss."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vaelab.data.decode import open_image
from vaelab.io.formatting import typed
from vaelab.runs.folder import RunFolder

LARGE = 500_000  # bytes of a PNG that is worth encoding anew
COPYING = 60  # seconds that copying a folder may take, file by file

# name of the figure: its heading, what it shows in words, and the picture of an epoch that may stand in for it
SHOWN = {
    "generated_samples": ("Samples", "Images decoded from latents that were drawn from the prior.", "samples"),
    "reconstructions": (
        "Reconstructions",
        "Held-out images, and directly below each what the model makes of it.",
        "reconstructions",
    ),
    "latent_space": ("Latent map", "Posterior means of test images, coloured by class where there are classes.", ""),
    "traversals": ("Traversals", "One image, with one latent dimension moved at a time.", ""),
    "pseudo_inputs": (
        "Pseudo-inputs",
        "What the prior is a mixture of, with the share of images each wins.",
        "pseudo_inputs",
    ),
    "stages": ("Stages", "What the model drew at the end of each stage, of the same latents.", ""),
    "timeline": ("Growing", "Loss, resolution, α and β over the epochs.", ""),
    "level_kl": ("KL of each level", "How many nats of the image each level of the latents holds.", ""),
    "level_traversals": ("What each level holds", "Images with one level of their latents drawn anew.", ""),
    "manifold": ("Decoded plane", "Images decoded over a grid in the two latent dimensions.", ""),
    "classes": ("Samples of each class", "A row of samples for each class.", ""),
    "interpolations": ("Interpolations", "Straight lines in latent space between pairs of images.", ""),
    "prior_samples": (
        "Learned prior beside N(0, I)",
        "Samples of the learned prior, and of N(0, I) for comparison.",
        "",
    ),
    "aggregate_posterior": ("Aggregated posterior", "Densities of all posteriors together, against the prior.", ""),
    "convergence": ("Convergence of the bound", "The importance-sampled bound against the number of draws.", ""),
}
ALWAYS = ("generated_samples", "reconstructions", "latent_space", "traversals")  # of which a gap is told


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
    pictures: list[Picture]
    missing: list[str]


def exhibits(runs: Sequence[RunFolder]) -> list[Exhibit]:
    """All that the runs' folders hold, and what is missing of the usual figures."""
    found = []
    for name, (title, text, epoch) in SHOWN.items():
        pictures, missing = [], []
        for run in runs:
            path, note = _find(run, name, epoch)
            draw = f"vaelab figures {typed(run.path)}"
            picture = None if path is None else _picture(path, run.name, f"{title} of {run.name}. {text}", note)
            if picture is not None:
                pictures.append(picture)
            elif path is not None:
                missing.append(f"{path.name} of {run.name} cannot be read; draw it again: {draw}")
            elif _due(name, run):
                missing.append(f"{run.name} has none yet; draw it: {draw} {name}")
        if pictures or missing:
            found.append(Exhibit(name, title, text, pictures, missing))
    return found


def _due(name: str, run: RunFolder) -> bool:
    """Whether a run could have this figure and usually has."""
    usual = name in ALWAYS or (name == "pseudo_inputs" and run.recipe.part("prior")[0] == "vamp")
    return usual and run.has_model


def _find(run: RunFolder, name: str, epoch: str) -> tuple[Path | None, str]:
    """The figure, else the same of the last epoch that was drawn; and a remark on its age."""
    path, model = run.figures / f"{name}.png", run.model_file
    if path.is_file():
        older = model.exists() and path.stat().st_mtime < model.stat().st_mtime - COPYING
        return path, "drawn before the last training; draw it again: vaelab figures" if older else ""
    drawn = sorted(run.figures.glob(f"epoch_*_{epoch}.png")) if epoch else []
    of = "" if name == "generated_samples" else ", of validation images"
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
