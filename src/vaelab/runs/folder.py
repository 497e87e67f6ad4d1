"""A run folder as it lies there, whole or half written: recipe, log, state, results and pictures, without the model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.io.files import expanded, parse_json
from vaelab.io.formatting import typed
from vaelab.io.hashing import short_hash
from vaelab.runs.log import Log
from vaelab.runs.recipe import StoredRecipe
from vaelab.runs.results import FILES, Results
from vaelab.runs.state import State, read_state

MARKS = ("recipe.yaml", "log.jsonl", "model.safetensors", "state.json")  # of which a run has one at least


@dataclass(frozen=True, eq=False)
class RunFolder:
    """What a run folder holds; `measured` by split; `problems` are sentences on what is missing or damaged."""

    path: Path
    name: str = ""  # the folder's own, or one that tells it from others beside it
    recipe: StoredRecipe = field(default_factory=StoredRecipe)
    log: Log = field(default_factory=Log)
    state: State = State("unknown", "", None, 0.0)
    measured: Mapping[str, Results] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @classmethod
    def read(cls, run: str | Path) -> "RunFolder":
        """The folder of a run, or of its model file; UsageError where there is no run at all."""
        path = folder_of(run)
        if not path.is_dir():
            raise UsageError(f"{path} is no run folder: it does not exist; vaelab runs lists those that do")
        if not is_run(path):
            raise UsageError(f"{path} holds no run: none of {', '.join(MARKS)} is in it; vaelab runs lists runs")
        recipe, of_recipe = StoredRecipe.read(path / "recipe.yaml")
        log, of_log = _log(path / "log.jsonl")
        epochs = _epochs(recipe, log)
        stale = log.epoch - int(log.best["epoch"]) if log.best else 0
        ended = bool(epochs) and (
            log.epoch >= (epochs or 0) or stale >= (recipe.number("train", "patience") or math.inf)
        )
        found = {split: Results.read(path / file) for split, file in FILES.items() if (path / file).is_file()}
        whole = {split: results for split, results in found.items() if results and results.metrics}
        measured = {split: results.model_copy(update={"split": split}) for split, results in whole.items()}
        run_folder = cls(path, path.resolve().name, recipe, log, read_state(path, ended), measured)
        return replace(run_folder, problems=[*of_recipe, *of_log, *run_folder._lacks(), *run_folder._doubts(found)])

    @property
    def model_file(self) -> Path:
        """The file of its weights, which may not be there."""
        return self.path / "model.safetensors"

    @property
    def has_model(self) -> bool:
        """Whether there is a file of weights, if a damaged one."""
        return self.model_file.exists()

    @property
    def figures(self) -> Path:
        """The folder of its pictures."""
        return self.path / "figures"

    @property
    def epochs(self) -> int | None:
        """Epochs that the recipe asks for, where it says, or the more that were finished before it was changed."""
        return _epochs(self.recipe, self.log)

    def results(self, split: str | None = None) -> Results | None:
        """The numbers of a split, or of the first that was measured; None where it was not."""
        return self.measured.get(split) if split else next(iter(self.measured.values()), None)

    @property
    def current(self) -> Results | None:
        """The first numbers that are of the weights in the folder; None where none are."""
        return next((results for results in self.measured.values() if not self.is_outdated(results)), None)

    @property
    def values(self) -> dict[str, int | float]:
        """The numbers of the weights in the folder, by name."""
        return self.current.values if self.current else {}

    def protocol(self, metric: str) -> Mapping[str, Any]:
        """The protocol of a metric of these weights; empty where that was not measured."""
        found = self.current.metrics.get(metric) if self.current else None
        return found.protocol if found else {}

    def is_outdated(self, results: Results) -> bool:
        """Whether numbers are of other weights than the folder holds now, after a training that went on."""
        return is_outdated(results, self.model_file)

    @cached_property
    def header(self) -> Mapping[str, Any] | None:
        """The header of the file of weights; None where that is missing, or does not hold all that the header lists."""
        try:
            with self.model_file.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = parse_json(file.read(min(length, self.model_file.stat().st_size)))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            return header if 8 + length + max(ends, default=0) == self.model_file.stat().st_size else None
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None

    @property
    def is_damaged(self) -> bool:
        """Whether there is a file of weights that does not hold them all."""
        return self.has_model and self.header is None

    def _lacks(self) -> list[str]:
        """Why there is no model, where there is none or it is damaged."""
        none = "there is no model.safetensors"
        if self.has_model:
            damaged = "model.safetensors is damaged: it does not hold the weights that its beginning lists"
            return [f"{damaged}; copy it again, or train anew"] if self.is_damaged else []
        if not self.log.valid:
            return [f"{none}: no epoch was finished"]
        if not self.log.resolutions:
            return [f"{none}, so nothing can be measured or sampled"]
        on = "" if self.state.word == "running" else "; resume it"
        return [f"{none}: a growing model keeps its weights once all stages are there{on}"]

    def _doubts(self, found: Mapping[str, Results | None]) -> list[str]:
        """What is wrong with its numbers."""
        again = f"measure again: vaelab evaluate {typed(self.path)}"
        problems = []
        for split, results in found.items():
            if split not in self.measured:
                problems.append(f"{FILES[split]} is damaged or empty; {again}")
            elif results and self.is_outdated(results) and not self.is_damaged:  # which says why they differ
                problems.append(f"{FILES[split]} is of earlier weights than those in the folder; {again}")
        return problems


def is_run(path: Path) -> bool:
    """Whether a folder holds a run, or the beginning of one."""
    return any((path / name).is_file() for name in MARKS)


def folder_of(run: str | Path) -> Path:
    """The folder of a run, also where its model file is named."""
    path = expanded(run)
    return path.parent if path.suffix == ".safetensors" else path


def is_outdated(results: Results, weights: Path) -> bool:
    """Whether numbers are of other weights than those in a file."""
    try:
        now = weights.stat()
        return results.model not in (None, _hash(weights, now.st_mtime_ns, now.st_ino, now.st_size))
    except OSError:  # without weights there are none that it could not be of
        return False


@lru_cache(maxsize=16)
def _hash(weights: Path, *changed: int) -> str:
    """Read again only where they changed, for some are large."""
    return short_hash(weights)


def _epochs(recipe: StoredRecipe, log: Log) -> int | None:
    asked, steps = recipe.number("train", "epochs"), recipe.number("train", "steps")
    row = next((row for row in reversed(log.rows) if row["step"] and row["epoch"]), None)
    if asked is None and steps and row:
        asked = steps / row["step"] * row["epoch"] - 1e-6
    return None if asked is None or not math.isfinite(asked) else max(math.ceil(asked), log.epoch)


def _log(path: Path) -> tuple[Log, list[str]]:
    """The log, and what is wrong with it."""
    if not path.is_file():
        return Log(), ["there is no log.jsonl, so there are no curves"]
    try:
        log = Log.read(path)
    except OSError as error:
        return Log(), [f"log.jsonl cannot be read ({error})"]
    lines = "a line of log.jsonl is no row" if log.broken == 1 else f"{log.broken} lines of log.jsonl are no rows"
    problems = [f"{lines} of a run"] if log.broken else []
    return log, problems if log.rows else [*problems, "log.jsonl has no rows yet, so there are no curves"]
