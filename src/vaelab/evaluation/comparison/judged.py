"""The runs of a comparison: each with its numbers, those that differ in their seed only as one column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.evaluation.quality import distinct
from vaelab.io.formatting import printable, typed
from vaelab.recipe.identity import identity
from vaelab.recipe.restore import folder_of, read_report, restore, weights_hash
from vaelab.registry import hint
from vaelab.registry import names as registered
from vaelab.registry.schema import Part

Measure = Callable[[Path, str, list[str] | None], object]  # a run, why, and by which metrics, None for the usual

# What leaves the test images as they are.
HARMLESS = ("train_size", "flip")


@dataclass(frozen=True, eq=False)
class Judged:
    """A run, the sections of the recipe in its model file, and its metrics.json."""

    name: str
    folder: Path
    options: Mapping[str, Any]
    report: Mapping[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """What decides the images that it is judged on."""
        data = Part.of(self.options["data"]) or Part("")
        return {k: v for k, v in data.as_mapping().items() if k not in HARMLESS}

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.options["train"].get("seed", 0)

    def is_sister_of(self, other: "Judged") -> bool:
        """Whether the recipes differ in nothing that is trained but the seed."""
        return identity(self.options, but=("seed",)) == identity(other.options, but=("seed",))


@dataclass(frozen=True, eq=False)
class Column:
    """Runs of one recipe with a seed each; most often one run."""

    runs: tuple[Judged, ...]

    @property
    def label(self) -> str:
        """The first run's name, and how many seeds it stands for."""
        return self.runs[0].name + (f" ({len(self.runs)} seeds)" if len(self.runs) > 1 else "")


def read_runs(paths: Sequence[str | Path], measure: Measure | None = None) -> list[Judged]:
    """Each run with its name and numbers.

    Of a run without numbers of its present weights, `measure` is told why and what the others have been measured by;
    without it, or if it cannot, UsageError.
    """
    folders = list(dict.fromkeys(folder_of(path).resolve() for path in paths))
    if len(folders) < 2:
        raise UsageError("a comparison needs two different runs or more; name their folders")
    taken = ["real", "original"]  # which stand beside them in figures
    names = [printable(name) for name in distinct(folders, taken=taken)]
    recipes = [restore(folder)[1].options for folder in folders]
    lacking = {folder: why for folder in folders if (why := _lack(folder))}
    whole = [read_report(folder / "metrics.json")["metrics"] for folder in folders if folder not in lacking]
    metrics = [name for name in dict.fromkeys(chain(*whole)) if name in registered("metric")]
    if measure:
        for folder, why in lacking.items():
            measure(folder, why, metrics or None)
    if left := [f"{why}; run: vaelab evaluate {typed(folder)}" for folder in lacking if (why := _lack(folder))]:
        raise UsageError(left[0])
    reports = [read_report(folder / "metrics.json") for folder in folders]
    return [Judged(*known) for known in zip(names, folders, recipes, reports, strict=True)]


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


def _lack(folder: Path) -> str:
    """Why a run has no numbers of its weights; "" where it has."""
    path = folder / "metrics.json"
    if not path.is_file():
        return f"{folder} has no metrics.json"
    report = read_report(path)
    if not report:
        return f"{path} is damaged or of another program"
    if not report["metrics"]:
        return f"{path} holds no metrics"
    return "" if report["model"] == weights_hash(folder) else f"{folder} was trained on since it was evaluated"
