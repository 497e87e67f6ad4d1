"""Weights & Biases: in its cloud if logged in, else in files to send later."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from vaelab.registry import register
from vaelab.runs.folder import RunFolder
from vaelab.tracking.tracker import Tracker, recipe_of


@register("tracker", "wandb")
class WandB(Tracker):
    """A run in the cloud if logged in, else `offline` below RUN/wandb; `step` is the axis of every curve."""

    module = extra = "wandb"

    def __init__(
        self,
        *,
        mode: Literal["auto", "offline", "online"] = "auto",
        project: str = "vaelab",
        entity: str | None = None,
    ) -> None:
        self.mode, self.project, self.entity = mode, project, entity

    def begin(self, run: RunFolder, memory: dict[str, Any], done: int | None) -> bool:
        """Only the cloud can carry on with a run; elsewhere a new one holds everything again."""
        self.wandb = import_module("wandb")
        mode = ("online" if self.wandb.login(prompt=False) else "offline") if self.mode == "auto" else self.mode
        known = memory.get("id") if mode == "online" else None
        settings = self.wandb.Settings(
            console="off", init_timeout=30, disable_git=True, disable_code=True, x_disable_stats=True
        )
        self.run = self.wandb.init(
            project=self.project,
            entity=self.entity,
            name=run.name,
            id=known,
            resume="allow" if known else None,
            dir=str(run.path.resolve()),
            mode=mode,
            config=recipe_of(run),
            settings=settings,
        )
        self.run.define_metric("*", step_metric="step")  # so that steps may be sent in any order
        memory["id"] = self.run.id
        self.view = self.run.url or f"wandb sync {Path(self.run.dir).parent}"
        return known is not None

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """A row of its history."""
        self.run.log({**values, "step": step, "at_epoch": epoch})

    def image(self, name: str, path: Path, step: int) -> None:
        """A picture."""
        self.run.log({name: self.wandb.Image(str(path)), "step": step})

    def end(self, state: str) -> None:
        """Finished, or crashed."""
        self.run.finish(exit_code=0 if state in ("done", "stopped") else 1)
