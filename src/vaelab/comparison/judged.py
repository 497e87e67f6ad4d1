"""The runs of a comparison: each with its numbers, those that differ in their seed only as one column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.quality import distinct
from vaelab.recipe import Recipe
from vaelab.registry import hint
from vaelab.stored import folder_of, read_report, restore, weights_hash
from vaelab.wording import typed

# What leaves the test images as they are.
HARMLESS = ("train_size", "flip")


@dataclass(frozen=True, eq=False)
class Judged:
    """A run, the recipe in its model file, and its metrics.json."""

    name: str
    folder: Path
    recipe: Recipe
    report: Mapping[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """What decides the images that it is judged on."""
        data = self.recipe.options["data"]
        return {k: v for k, v in ({"kind": data} if isinstance(data, str) else data).items() if k not in HARMLESS}

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.recipe.options["train"].get("seed", 0)

    def is_sister_of(self, other: "Judged") -> bool:
        """Whether the recipes differ in nothing that is trained but the seed."""
        return self._trained() == other._trained()

    def _trained(self) -> dict[str, Any]:
        kept = {k: self.recipe.options.get(k) for k in ("data", "model", "objective", "train", "evaluate", "best")}
        return kept | {"train": {k: v for k, v in kept["train"].items() if k != "seed"}}  # pyright: ignore


@dataclass(frozen=True, eq=False)
class Column:
    """Runs of one recipe with a seed each; most often one run."""

    runs: tuple[Judged, ...]

    @property
    def label(self) -> str:
        """The first run's name, and how many seeds it stands for."""
        return self.runs[0].name + (f" ({len(self.runs)} seeds)" if len(self.runs) > 1 else "")


def read_runs(paths: Sequence[str | Path]) -> list[Judged]:
    """Each run with its name and numbers; UsageError where one was not evaluated, or its weights are others now."""
    folders = list(dict.fromkeys(folder_of(path).resolve() for path in paths))
    if len(folders) < 2:
        raise UsageError("a comparison needs two different runs or more; name their folders")
    names = distinct(folders, taken=["real", "original"])  # which stand beside them in figures
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def columns_of(runs: Sequence[Judged], group: bool, order: Sequence[str] | None) -> list[Column]:
    """The columns of the table, those named in `order` first."""
    groups: list[list[Judged]] = []
    for run in runs:
        sisters = (g for g in groups if group and run.is_sister_of(g[0]) and run.seed not in [r.seed for r in g])
        found = next(sisters, None)
        if found is None:
            groups.append([run])
        else:
            found.append(run)
    columns = [Column(tuple(runs)) for runs in groups]
    names = {run.name: column for column in columns for run in column.runs}
    names |= {column.label: column for column in columns}
    for name in order or ():
        if name not in names:
            raise UsageError(f"order: no run {name!r} in this comparison; {hint(name, list(names))}")
    return list(dict.fromkeys([*(names[name] for name in order or ()), *columns]))


def _read(folder: Path, name: str) -> Judged:
    _, recipe, _ = restore(folder)
    path, again = folder / "metrics.json", f"run again: vaelab evaluate {typed(folder)}"
    if not path.is_file():
        raise UsageError(f"{folder} has no metrics.json; run: vaelab evaluate {typed(folder)}")
    report = read_report(path)
    if not report:
        raise UsageError(f"{path} is damaged or of another program; {again}")
    if not report["metrics"]:
        raise UsageError(f"{path} holds no metrics; {again}")
    if report.get("model") != weights_hash(folder):
        raise UsageError(f"{folder} was trained on since it was evaluated; {again}")
    return Judged(name, folder, recipe, report)
