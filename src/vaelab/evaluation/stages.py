"""What a growing model draws at the end of each stage, kept in the run's folder, since later stages change it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaelab.data.decode import open_image
from vaelab.data.images import to_bytes
from vaelab.io.files import write_whole
from vaelab.model import VAE, growth_of
from vaelab.samplers.drawing import images

ACROSS, SEED = 12, 0  # samples of a stage, of the same noise in each


def keep_stage(model: VAE, step: int, folder: Path) -> None:
    """Write samples as `stages/RESOLUTION.png`, side by side, at the last of a stage's steps; at any of the last's."""
    growth = growth_of(model)
    if growth is None or (growth.stage < growth.stages - 1 and step < growth.began + growth.stage_steps):
        return
    resolution = growth.resolutions[growth.stage]
    drawn = images(model, model.p_z(), ACROSS, SEED)
    factor = drawn.shape[-1] // resolution
    strip = np.concatenate(list(to_bytes(drawn[..., ::factor, ::factor]).numpy()), -1)
    picture = Image.fromarray(strip[0] if len(strip) == 1 else np.moveaxis(strip, 0, -1))
    (folder / "stages").mkdir(exist_ok=True)  # not its parent, which may have gone away
    write_whole(folder / "stages" / f"{resolution:04d}.png", lambda path: picture.save(path, "PNG"))


def kept_stages(folder: Path) -> dict[str, Tensor]:
    """The samples of each stage [N, C, r, r] in [0, 1], by its resolution as words, the first stage first."""
    return dict(_read(path) for path in sorted((folder / "stages").glob("*.png")))


def _read(path: Path) -> tuple[str, Tensor]:
    strip = torch.from_numpy(np.array(open_image(path))).float() / 255
    side = strip.shape[0]
    strip = strip[None] if strip.dim() == 2 else strip.movedim(-1, 0)
    return f"{side} × {side}", torch.stack(strip.split(side, -1))
