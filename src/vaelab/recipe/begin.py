"""The folder in which a training begins, or is carried on, and the recipe.yaml in it."""

import shlex
import sys
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import yaml

from vaelab.data.dataset import Dataset
from vaelab.errors import (
    AlreadyARun,
    ChangedRecipe,
    ComposedByHand,
    NoFolder,
    NothingToResume,
    OtherRecipe,
    UsageError,
)
from vaelab.io.files import expanded, write_whole
from vaelab.recipe.identity import LENGTHS, RECORDS
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.text import find
from vaelab.recipe.training import Training
from vaelab.registry.plugins import plugin_records
from vaelab.runs.claim import claimed
from vaelab.runs.recipe import StoredRecipe
from vaelab.training.checkpoint import refuse_other_images


def begin(
    claims: ExitStack,
    recipe: str | Path | Recipe | None,
    overrides: tuple[str, ...],
    run: str | Path | None,
    resume: bool,
    data: Dataset | None = None,
) -> tuple[Path, Recipe, StoredRecipe | None]:
    """The folder of a run, claimed until `claims` are closed; its recipe with the overrides; and as it was stored.

    The latter is None of a new run; of one that is resumed, overrides may change only lengths. `data` is a set that the
    caller has, in place of the recipe's; UsageError where one that is resumed was not trained on it.
    """
    if not resume:
        if recipe is None:
            raise UsageError("there is no recipe; name one of your own, or one of those that vaelab list recipes shows")
        wanted = recipe.overridden(overrides) if isinstance(recipe, Recipe) else Recipe.read(recipe, overrides)
        return new_folder(claims, run, wanted.name), wanted.on(data) if data else wanted, None
    name, own = _named(recipe)
    folder = claims.enter_context(claimed(_to_resume(own if run is None else run, name)))
    stored = Recipe.read(folder)
    if name not in ("", stored.name) and folder != own:
        raise OtherRecipe(folder, stored.name, name)
    asked = recipe if isinstance(recipe, Recipe) else stored
    if data:
        refuse_other_images(stored.data.options.get("images"), folder, data.digest)
        asked = asked.on(data)
    elif "given" in stored.data.options:
        raise ComposedByHand(folder, "data")
    wanted = Recipe.of(asked.overridden(overrides).options, stored.name)  # its warm-ups stay as they are
    if wanted.fingerprint != stored.fingerprint:
        raise ChangedRecipe(folder, LENGTHS + RECORDS)
    return folder, wanted, StoredRecipe.read(folder / "recipe.yaml")[0]


def begin_by_hand(claims: ExitStack, run: str | Path | None, resume: bool) -> tuple[Path, StoredRecipe | None]:
    """The folder of a run that no recipe describes, claimed, and what is stored of one that is resumed."""
    if not resume:
        return new_folder(claims, run, "fit"), None
    folder = claims.enter_context(claimed(_to_resume(run)))
    stored = StoredRecipe.read(folder / "recipe.yaml")[0]
    if not stored.by_hand:
        raise UsageError(f"{folder} holds a run of the recipe {stored.name!r}", "resume it with vaelab.train")
    return folder, stored


def new_folder(claims: ExitStack, run: str | Path | None, name: str) -> Path:
    """The folder of a new run, claimed: the one that is named, or runs/NAME-TIME."""
    _refuse_blank(run)
    if run is None:
        named = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return claims.enter_context(claimed(named, new=True))
    folder = expanded(run)
    if folder.is_file():
        raise NoFolder(folder)
    claims.enter_context(claimed(folder))
    if (folder / "recipe.yaml").exists():
        raise AlreadyARun(folder)
    return folder


def versions() -> dict[str, str]:
    """The versions of what trains and measures."""
    return {name: version(name) for name in ("vaelab", "torch", "numpy", "scikit-learn")}


def write_recipe(
    folder: Path, training: Training, called: str, data_dir: str | Path | None, before: StoredRecipe | None
) -> None:
    """What is trained, and how it was made; a resumed run keeps how it began, as that was stored `before`."""
    from_shell = Path(sys.argv[0]).name in ("vaelab", "__main__.py")
    command = shlex.join(["vaelab", *sys.argv[1:]]) if from_shell else called
    began = dict(before.provenance) if before else {}
    new = {"name": training.name, "command": command, "versions": versions()}
    how = began | {"resumed": command} if began else new
    if training.composed:
        how["composed"] = training.composed
    if plugins := plugin_records():
        how["plugins"] = plugins
    if data_dir:
        how["data_dir"] = str(Path(data_dir).resolve())
    text = yaml.safe_dump({**training.sections, "made": how}, sort_keys=False, allow_unicode=True)
    write_whole(folder / "recipe.yaml", lambda file: file.write_text(text, encoding="utf-8") and None)


def _refuse_blank(run: str | Path | None) -> None:
    if isinstance(run, str) and not run.strip():
        raise UsageError("the name of the run's folder is empty; give it one, or leave it out")


def _named(recipe: str | Path | Recipe | None) -> tuple[str, Path | None]:
    """The name of a recipe, "" where there is none, and the folder where it is that of a run."""
    if recipe is None or isinstance(recipe, Recipe):
        return recipe.name if recipe else "", None
    file = find(recipe)
    return file.stem, file.parent if file.name == "recipe.yaml" != Path(recipe).name else None


def _to_resume(run: str | Path | None, name: str = "") -> Path:
    """The folder that is named, or the newest of a recipe's."""
    _refuse_blank(run)
    if run is not None:
        folder = expanded(run)
        if not (folder / "recipe.yaml").is_file():
            raise NothingToResume(f"{folder} holds no run")
        return folder
    if not name:
        raise NothingToResume("neither a run nor a recipe is named")
    runs = Path("runs").glob(f"{name}-{'[0-9]' * 8}-*/recipe.yaml")
    newest = max(runs, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise NothingToResume(f"no run of {name!r} in runs/")
    return newest.parent
