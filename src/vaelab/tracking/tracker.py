"""What every tracker is: told the run, then its numbers and pictures in order, then how it ended."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from vaelab.errors import Problems
from vaelab.recipe.trackers import Spec, name_of
from vaelab.registry.schema import Part, build, parse_parts


@dataclass(frozen=True)
class Told:
    """What a tracker is told at the start: the folder, its recipe, and what it wrote down for itself before."""

    folder: Path
    recipe: Mapping[str, Any]
    memory: dict[str, Any] = field(default_factory=dict)  # a tracker may write here; kept in tracking.json

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name


class Tracker(ABC):
    """One service. Its constructor only stores options; nothing is imported or opened before `begin`."""

    module: ClassVar[str]  # what must be installed
    extra: ClassVar[str]  # of vaelab, that brings it
    elsewhere: ClassVar[str] = ""  # the option that lets it write outside the run folder
    view: str = ""  # where to look, once begun

    def missing(self) -> str:
        """What must be installed first, with how; "" if all is there."""
        if importlib.util.find_spec(self.module):
            return ""
        return f"{self.module} is not installed; pip install 'vaelab[{self.extra}]', or leave that tracker out"

    @abstractmethod
    def begin(self, run: Told) -> bool:
        """Open the tracked run; whether it is the one of `run.memory`, which then gets only what is new."""

    def rewind(self, step: int) -> bool:
        """Forget all after a step, from where a resumed run learns again; False if what was sent must stay."""
        del step
        return False

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


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by dotted keys."""
    pairs: dict[str, Any] = {}
    for key, value in section.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return pairs


def make(specs: Iterable[Spec | Part]) -> dict[str, Tracker]:
    """The trackers by name; UsageError where something must be installed first."""
    parts = parse_parts("tracker", list(specs), "track", problems := [])
    if problems:
        raise Problems(problems, "these trackers have these problems")
    trackers = {name_of(part): build("tracker", part, "track") for part in parts}
    if problems := [f"track: {why}" for tracker in trackers.values() if (why := tracker.missing())]:
        raise Problems(problems, "these trackers cannot be used")
    return trackers
