"""The folder in which a training begins, or is carried on, and the recipe.yaml in it."""

import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from vaelab.errors import AlreadyARun, ChangedRecipe, NoFolder, NothingToResume, OtherRecipe, UsageError
from vaelab.io.files import expanded, write_whole
from vaelab.recipe.identity import LENGTHS, RECORDS
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.text import find
from vaelab.recipe.training import Training
from vaelab.registry.plugins import plugin_records
from vaelab.runs.claim import claimed
from vaelab.runs.recipe import StoredRecipe


def begin(
    claims: ExitStack,
    recipe: str | Path | Recipe | None,
    overrides: tuple[str, ...],
    run: str | Path | None,
    resume: bool,
) -> tuple[Path, Recipe]:
    """The folder of a run, claimed until `claims` are closed, and its recipe with the overrides."""
    if resume:
        folder = claims.enter_context(claimed(_to_resume(recipe, run)))
        return folder, _resumed(folder, recipe, overrides)
    if recipe is None:
        raise UsageError("there is no recipe; name one of your own, or one of those that vaelab list recipes shows")
    wanted = recipe.overridden(overrides) if isinstance(recipe, Recipe) else Recipe.read(recipe, overrides)
    return new_folder(claims, run, wanted.name), wanted


def begin_by_hand(claims: ExitStack, run: str | Path | None, resume: bool) -> tuple[Path, Mapping[str, Any]]:
    """The folder of a run that no recipe describes, claimed, and the sections of one that is resumed."""
    if not resume:
        return new_folder(claims, run, "fit"), {}
    folder = claims.enter_context(claimed(_to_resume(None, run)))
    stored = StoredRecipe.read(folder / "recipe.yaml")[0]
    if not stored.by_hand:
        raise UsageError(f"{folder} holds a run of the recipe {stored.name!r}", "resume it with vaelab.train")
    return folder, stored.sections


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


def write_recipe(folder: Path, training: Training, called: str, data_dir: str | Path | None) -> None:
    """What is trained, and how it was made; a resumed run keeps how it began."""
    from_shell = Path(sys.argv[0]).name in ("vaelab", "__main__.py")
    command = shlex.join(["vaelab", *sys.argv[1:]]) if from_shell else called
    began = dict(StoredRecipe.read(folder / "recipe.yaml")[0].provenance)
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


def _to_resume(recipe: str | Path | Recipe | None, run: str | Path | None) -> Path:
    """The folder that is named, also in the place of the recipe, or the newest of the recipe."""
    _refuse_blank(run)
    if run is None and recipe is None:
        raise NothingToResume("neither a run nor a recipe is named")
    named = expanded(run or (recipe if isinstance(recipe, str | Path) else ""))
    if (named / "recipe.yaml").is_file():
        return named
    if recipe is None or run is not None:
        raise NothingToResume(f"{named} holds no run")
    runs = sorted(
        Path("runs").glob(f"{_name(recipe)}-{'[0-9]' * 8}-*/recipe.yaml"),
        key=lambda path: path.stat().st_mtime,
    )
    if not runs:
        raise NothingToResume(f"no run of {recipe.name if isinstance(recipe, Recipe) else str(recipe)!r} in runs/")
    return runs[-1].parent


def _resumed(folder: Path, recipe: str | Path | Recipe | None, overrides: tuple[str, ...]) -> Recipe:
    """The recipe of a run with the overrides, which may change only lengths."""
    stored = Recipe.read(folder)
    named = recipe if isinstance(recipe, Recipe) or (recipe and expanded(recipe) != folder) else None
    if named and _name(named) != stored.name:
        raise OtherRecipe(folder, stored.name, _name(named))
    asked = named if isinstance(named, Recipe) else stored
    wanted = Recipe.of(asked.overridden(overrides).options, stored.name)  # its warm-ups stay as they are
    if wanted.fingerprint != stored.fingerprint:
        raise ChangedRecipe(folder, LENGTHS + RECORDS)
    return wanted


def _name(recipe: str | Path | Recipe) -> str:
    return recipe.name if isinstance(recipe, Recipe) else find(recipe).stem
