"""The columns of a comparison: runs with numbers of their weights, those that differ in their seed only as one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from vaelab.errors import UsageError
from vaelab.evaluation.quality import distinct
from vaelab.io.formatting import printable, typed
from vaelab.recipe.identity import identity
from vaelab.recipe.restore import recipe_of, weights_hash
from vaelab.registry import hint
from vaelab.registry import names as registered
from vaelab.runs.folder import RunFolder, folder_of
from vaelab.runs.results import Results

Measure = Callable[[Path, str, list[str] | None], object]  # a run, why, and by which metrics, None for the usual


@dataclass(frozen=True, eq=False)
class Column:
    """Runs of one recipe with a seed each; most often one run."""

    runs: tuple[RunFolder, ...]

    @property
    def label(self) -> str:
        """The first run's name, and how many seeds it stands for."""
        return self.runs[0].name + (f" ({len(self.runs)} seeds)" if len(self.runs) > 1 else "")


def read_runs(paths: Sequence[str | Path], measure: Measure | None = None) -> list[RunFolder]:
    """Each run with its name and numbers, and the recipe in its model file.

    Of a run without numbers of its present weights, `measure` is told why and what the others have been measured by;
    without it, or if it cannot, UsageError.
    """
    folders = list(dict.fromkeys(folder_of(path).resolve() for path in paths))
    if len(folders) < 2:
        raise UsageError("a comparison needs two different runs or more; name their folders")
    taken = ["real", "original"]  # which stand beside them in figures
    names = [printable(name) for name in distinct(folders, taken=taken)]
    recipes = [recipe_of(folder) for folder in folders]
    lacking = {folder: why for folder in folders if (why := _lack(folder))}
    whole = [RunFolder.read(folder).measured["test"].metrics for folder in folders if folder not in lacking]
    metrics = [name for name in dict.fromkeys(chain(*whole)) if name in registered("metric")]
    if measure:
        for folder, why in lacking.items():
            measure(folder, why, metrics or None)
    if left := [f"{why}; run: vaelab evaluate {typed(folder)}" for folder in lacking if (why := _lack(folder))]:
        raise UsageError(left[0])
    known = zip(map(RunFolder.read, folders), names, recipes, strict=True)
    return [replace(run, name=name, recipe=recipe) for run, name, recipe in known]


def columns_of(runs: Sequence[RunFolder], group: bool, order: Sequence[str] | None) -> list[Column]:
    """The columns of the table, those named in `order` first."""
    groups: list[list[RunFolder]] = []
    trained = {run: identity(run.recipe.sections, but=("seed",)) for run in runs}
    seeds = {run: run.recipe.section("train").get("seed", 0) for run in runs}
    for run in runs:
        sisters = (g for g in groups if group and trained[run] == trained[g[0]] and seeds[run] not in map(seeds.get, g))
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
    results = Results.read(path)
    if not results:
        return f"{path} is damaged or of another program"
    if not results.metrics:
        return f"{path} holds no metrics"
    return "" if results.model == weights_hash(folder) else f"{folder} was trained on since it was evaluated"
