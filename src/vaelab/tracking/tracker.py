"""The role of a tracker: it is given a run folder, then its numbers and pictures in order, then how the run ended."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from vaelab.errors import Problems
from vaelab.recipe.trackers import Spec
from vaelab.registry.schema import Part, build, parse_parts
from vaelab.runs.folder import RunFolder


class Tracker(ABC):
    """One service. Its constructor only stores options; nothing is imported or opened before `begin`."""

    module: ClassVar[str]  # what must be installed
    extra: ClassVar[str]  # of vaelab, that brings it
    elsewhere: ClassVar[str] = ""  # the option that lets it write outside the run folder
    rewinds: bool = False  # it can forget what it was sent of later steps
    view: str = ""  # where to look, once begun

    def missing(self) -> str:
        """What must be installed first, with how; "" if all is there."""
        if importlib.util.find_spec(self.module):
            return ""
        return f"{self.module} is not installed; pip install 'vaelab[{self.extra}]', or leave that tracker out"

    @abstractmethod
    def begin(self, run: RunFolder, memory: dict[str, Any], done: int | None) -> bool:
        """Open the tracked run; whether it is the one of `memory`, its own, which then gets only what is new.

        A run that was resumed learns again from step `done` on; who `rewinds` forgets what was sent of later steps.
        """

    @abstractmethod
    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Numbers of a step, by names like `train/loss`."""

    @abstractmethod
    def image(self, name: str, path: Path, step: int) -> None:
        """A PNG, as it was drawn at a step."""

    def flush(self) -> None:  # noqa: B027
        """Let readers see what was sent."""

    @abstractmethod
    def end(self, state: str) -> None:
        """Close the tracked run, whose training is `done`, `stopped`, `failed` or `killed`."""


def recipe_of(run: RunFolder) -> dict[str, Any]:
    """The resolved recipe of a run, and its provenance."""
    return {**run.recipe.sections, "made": dict(run.recipe.provenance)}


def make(specs: Iterable[Spec | Part]) -> dict[str, Tracker]:
    """The trackers by name; UsageError where something must be installed first."""
    parts = parse_parts("tracker", list(specs), "track", problems := [])
    if problems:
        raise Problems(problems, "these trackers have these problems")
    trackers = {str(part): build("tracker", part, "track") for part in parts}
    if problems := [f"track: {why}" for tracker in trackers.values() if (why := tracker.missing())]:
        raise Problems(problems, "these trackers cannot be used")
    return trackers
