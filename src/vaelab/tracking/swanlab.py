"""SwanLab: with an account in its cloud, without one in files to look at here or to send later."""

import importlib.util
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

from vaelab.registry import register
from vaelab.runs.folder import RunFolder
from vaelab.tracking.tracker import Tracker, recipe_of

ENDINGS = {"done": "success", "failed": "crashed", "killed": "crashed", "stopped": "aborted"}


@register("tracker", "swanlab")
class SwanLab(Tracker):
    """A run in SwanLab's cloud if logged in, else `offline` below RUN/swanlab; `local` is for its own dashboard."""

    module = extra = "swanlab"

    def __init__(self, *, mode: Literal["auto", "offline", "local", "cloud"] = "auto", project: str = "vaelab") -> None:
        self.mode, self.project = mode, project

    def missing(self) -> str:
        """Also the dashboard, in its one version, without which SwanLab would write nothing in its local mode."""
        if (why := super().missing()) or self.mode != "local":
            return why
        wanted = next((r for r in metadata.requires("swanlab") or [] if r.startswith("swanboard")), "swanboard")
        version = wanted.partition(";")[0].partition("==")[2].strip()
        there = importlib.util.find_spec("swanboard")
        if there and version in ("", metadata.version("swanboard")):
            return ""
        what = f"dashboard, which is not installed{f' in version {version}' if there else ''}"
        return f"swanlab's mode local needs its {what}; pip install 'swanlab[dashboard]', or mode=offline"

    def begin(self, run: RunFolder, memory: dict[str, Any], done: int | None) -> bool:
        """Only the cloud can carry on with a run; elsewhere a new one holds everything again."""
        self.swanlab = import_module("swanlab")
        settings = self.swanlab.Settings(
            interactive=False,  # never asks for an account
            terminal={"proxy_type": "none"},
            probe={"monitor": False, "requirements": False, "git": False},
        )
        mode = ("cloud" if settings.api_key else "offline") if self.mode == "auto" else self.mode
        known = memory.get("id") if mode == "cloud" else None
        place = run.path.resolve() / "swanlab"
        self.run = self.swanlab.init(
            project=self.project,
            experiment_name=run.name,
            logdir=str(place),
            mode=mode,
            config=recipe_of(run),
            settings=settings,
            **({"id": known, "resume": "allow"} if known else {}),
        )
        memory["id"] = self.run.id
        views = {"local": f"swanlab watch {place}", "offline": f"swanlab sync {self.run.dir}"}
        self.view = views.get(mode) or str(self.run.url)
        return known is not None

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Curves, in a section for each first part of a name."""
        self.run.log(dict(values), step=step)

    def image(self, name: str, path: Path, step: int) -> None:
        """A picture."""
        self.run.log({name: self.swanlab.Image(str(path))}, step=step)

    def end(self, state: str) -> None:
        """Done, crashed or aborted."""
        self.run.finish(state=ENDINGS[state], error=None if state == "done" else f"the training was {state}")
