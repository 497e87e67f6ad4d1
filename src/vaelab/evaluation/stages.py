"""Pictures that a training leaves in its run's folder: of its epochs, and of the stages of a growing model."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import vaelab.figures  # noqa: F401  # registers all figures
from vaelab.data.encoded.decode import open_image
from vaelab.data.images import to_bytes
from vaelab.data.source import Dataset
from vaelab.errors import FolderGone, NotApplicable
from vaelab.figures.about import about_figure
from vaelab.figures.style import save
from vaelab.figures.tiles import shown
from vaelab.io.files import write_whole
from vaelab.model import VAE
from vaelab.registry import names
from vaelab.registry.schema import build
from vaelab.samplers.drawing import images

ACROSS, SEED = 12, 0  # samples of a stage, of the same noise in each


def keep_pictures(model: VAE, data: Dataset, epoch: int, step: int, every: int, folder: Path) -> None:
    """Draw what is due after an epoch, in a folder that is not made again where it went away."""
    try:
        keep_stage(model, data, step, folder)
        if every and epoch % every == 0:
            draw_epoch(model, data, epoch, folder)
    finally:  # also where that is why they could not be written
        if not (folder / "recipe.yaml").exists():
            raise FolderGone(folder)


def draw_epoch(model: VAE, data: Dataset, epoch: int, folder: Path) -> None:
    """The figures that show a training as it goes on, of validation images, as `figures/epoch_NUMBER_….png`."""
    (folder / "figures").mkdir(exist_ok=True)  # not its parent, which may have gone away
    following = {name: shown for name in names("figure") if (shown := about_figure(name)).progress}
    for name, shown in following.items():
        titled = {"kind": name, "title": f"{shown.title} after epoch {epoch}"}
        with suppress(NotApplicable):
            drawn = build("figure", titled, model=model, data=data, split=data.valid, colours=data.colours)
            save(drawn, folder / "figures" / f"epoch_{epoch:04d}_{shown.progress}.png")


def keep_stage(model: VAE, data: Dataset, step: int, folder: Path) -> None:
    """Write samples as `stages/RESOLUTION.png`, side by side, at the last of a stage's steps; at any of the last's.

    Channels that are not shown as colours are below one another.
    """
    growth = model.growth
    if growth is None or (growth.stage < growth.stages - 1 and step < growth.ends):
        return
    resolution = growth.resolutions[growth.stage]
    drawn = shown(images(model, model.p_z(), ACROSS, SEED), data.colours)
    factor = drawn.shape[-1] // resolution
    strip = np.concatenate(list(to_bytes(drawn[..., ::factor, ::factor]).numpy()), -1)
    picture = Image.fromarray(np.moveaxis(strip, 0, -1) if len(strip) == 3 else np.concatenate(strip))
    (folder / "stages").mkdir(exist_ok=True)  # not its parent, which may have gone away
    write_whole(folder / "stages" / f"{resolution:04d}.png", lambda path: picture.save(path, "PNG"))


def kept_stages(folder: Path) -> dict[str, Tensor]:
    """The samples of each stage [N, C, r, r] in [0, 1], by its resolution as words, the first stage first."""
    found = {}
    for path in sorted((folder / "stages").glob("*.png")):
        strip = torch.from_numpy(np.array(open_image(path))).float() / 255
        side = strip.shape[1] // ACROSS
        strip = torch.stack(strip.split(side)) if strip.dim() == 2 else strip.movedim(-1, 0)
        found[f"{side} × {side}"] = torch.stack(strip.split(side, -1))
    return found
