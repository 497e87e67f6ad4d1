"""TensorBoard: event files, written without TensorFlow and without torch."""

import struct
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from vaelab.io.hashing import bytes_hash
from vaelab.registry import register
from vaelab.tracking.tracker import Told, Tracker

EVENTS = "events.out.*"
TERMS = ("loss", "reconstruction", "kl")
TOGETHER = ("train", "epoch", "valid")  # groups of numbers whose curves are of one quantity
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by the colour type of a PNG


@register("tracker", "tensorboard")
class TensorBoard(Tracker):
    """Event files in RUN/tensorboard, or below `logdir`; a resumed run goes on in the same curves."""

    module = extra = "tensorboard"
    elsewhere = "logdir"

    def __init__(self, *, logdir: str | None = None) -> None:
        self.logdir = logdir

    def begin(self, run: Told) -> bool:
        """New files beside the old ones, which count no more if they are another run's."""
        proto = "tensorboard.compat.proto"
        self.event, self.summary = (import_module(f"{proto}.{name}_pb2") for name in ("event", "summary"))
        self.tensor = import_module(f"{proto}.tensor_pb2").TensorProto
        place = self._place(run)
        known = run.memory.get("logdir") == str(place) and any(place.glob(EVENTS))
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):  # else it is the writer's thread that fails where none may write
            pass
        writer = import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter
        self.writer = writer(str(place), filename_suffix=f".{_mark(run)}")
        self.view = f"tensorboard --logdir {place}"
        if not known:
            run.memory["logdir"] = str(place)
            self._forget(0)
            recipe = f"```yaml\n{yaml.safe_dump(dict(run.recipe), sort_keys=False)}\n```"
            self._content("recipe/text_summary", "text", recipe.encode())
            self._content("custom_scalars__config__", "custom_scalars", _cards())
        return known

    def rewind(self, step: int) -> bool:
        """TensorBoard drops all that follows the step."""
        self._forget(step + 1)
        return True

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """One event with all of them, in float32."""
        self._write([self.summary.Summary.Value(tag=k, simple_value=v) for k, v in values.items()], step)

    def image(self, name: str, path: Path, step: int) -> None:
        """The PNG as it is."""
        png = path.read_bytes()
        width, height, _, colour = struct.unpack(">IIBB", png[16:26])
        image = self.summary.Summary.Image(
            encoded_image_string=png, width=width, height=height, colorspace=CHANNELS[colour]
        )
        self._write([self.summary.Summary.Value(tag=name, image=image)], step)

    def flush(self) -> None:
        """Onto the disk."""
        self.writer.flush()

    def end(self, state: str) -> None:
        """Close the file."""
        self.writer.close()

    def _place(self, run: Told) -> Path:
        """Where its events go: below `logdir` by its folder's name, and a mark if that is another run's."""
        if not self.logdir:
            return run.folder / "tensorboard"
        place = Path(self.logdir).resolve() / run.name
        others = any(not path.name.endswith(_mark(run)) for path in place.glob(EVENTS))
        ours = run.memory.get("logdir") == str(place) or not others
        return place if ours else place.with_name(f"{run.name}-{_mark(run)}")

    def _forget(self, step: int) -> None:
        start = self.event.SessionLog(status=self.event.SessionLog.START)
        self.writer.add_event(self.event.Event(wall_time=time.time(), step=step, session_log=start))

    def _content(self, tag: str, plugin: str, content: bytes) -> None:
        """What a plugin of TensorBoard shows in its own way."""
        data = self.summary.SummaryMetadata.PluginData(plugin_name=plugin)
        value = self.summary.Summary.Value(
            tag=tag,
            metadata=self.summary.SummaryMetadata(plugin_data=data),
            tensor=self.tensor(dtype="DT_STRING", string_val=[content]),
        )
        self._write([value], 0)

    def _write(self, values: list[Any], step: int) -> None:
        summary = self.summary.Summary(value=values)
        self.writer.add_event(self.event.Event(wall_time=time.time(), step=step, summary=summary))


def _cards() -> bytes:
    """A layout of custom scalars: training and validation of each term in one card."""
    layout = import_module("tensorboard.plugins.custom_scalar.layout_pb2")
    charts = [
        layout.Chart(title=term, multiline=layout.MultilineChartContent(tag=[f"{of}/{term}$" for of in TOGETHER]))
        for term in TERMS
    ]
    return layout.Layout(category=[layout.Category(title="training and validation", chart=charts)]).SerializeToString()


def _mark(run: Told) -> str:
    """Of the folder's path: the end of the names of its event files, so that they say whose they are."""
    return bytes_hash([str(run.folder).encode()])[:8]
