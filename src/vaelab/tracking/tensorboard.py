"""TensorBoard: event files."""

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from vaelab.io.hashing import bytes_hash
from vaelab.registry import register
from vaelab.runs.folder import RunFolder
from vaelab.tracking.tracker import Tracker, recipe_of

EVENTS = "events.out.*"
TERMS = ("loss", "reconstruction", "kl")
TOGETHER = ("train", "epoch", "valid")  # groups of numbers whose curves are of one quantity
CARDS = {term: ["Multiline", [f"{group}/{term}$" for group in TOGETHER]] for term in TERMS}


@register("tracker", "tensorboard")
class TensorBoard(Tracker):
    """Event files in RUN/tensorboard, or below `logdir`; a resumed run goes on in the same curves."""

    module = extra = "tensorboard"
    elsewhere = "logdir"
    rewinds = True

    def __init__(self, *, logdir: str | None = None) -> None:
        self.logdir = logdir

    def begin(self, run: RunFolder, memory: dict[str, Any], done: int | None) -> bool:
        """New files beside the old ones, of which nothing counts if they are another run's."""
        place = self._place(run, memory)
        known = memory.get("logdir") == str(place) and any(place.glob(EVENTS))
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):  # else it is the writer's thread that fails where none may write
            pass
        purge = (None if done is None else done + 1) if known else 0
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self.writer = writer(str(place), purge_step=purge, filename_suffix=f".{_mark(run)}")
        self.view = f"tensorboard --logdir {place}"
        if not known:
            memory["logdir"] = str(place)
            self.writer.add_text("recipe", f"```yaml\n{yaml.safe_dump(recipe_of(run), sort_keys=False)}\n```", 0)
            self.writer.add_custom_scalars({"training and validation": CARDS})
        return known

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Points in float32."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, name: str, path: Path, step: int) -> None:
        """The PNG's pixels."""
        pillow, numpy = import_module("PIL.Image"), import_module("numpy")
        with pillow.open(path) as picture:
            self.writer.add_image(name, numpy.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def flush(self) -> None:
        """Onto the disk."""
        self.writer.flush()

    def end(self, state: str) -> None:
        """Close the file."""
        self.writer.close()

    def _place(self, run: RunFolder, memory: Mapping[str, Any]) -> Path:
        """Where its events go: below `logdir` by its folder's name, and a mark if that is another run's."""
        if not self.logdir:
            return run.path.resolve() / "tensorboard"
        place = Path(self.logdir).resolve() / run.name
        others = any(not path.name.endswith(_mark(run)) for path in place.glob(EVENTS))
        ours = memory.get("logdir") == str(place) or not others
        return place if ours else place.with_name(f"{run.name}-{_mark(run)}")


def _mark(run: RunFolder) -> str:
    """A hash of the folder's path: the end of the names of its event files, so that they say whose they are."""
    return bytes_hash([str(run.path.resolve()).encode()])[:8]
