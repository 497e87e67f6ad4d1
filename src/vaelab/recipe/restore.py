"""A trained run on disk, restored: its model, recipe and data."""

import copy
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.data import as_dataset
from vaelab.data.dataset import Dataset
from vaelab.data.scale import Scale
from vaelab.errors import ComposedByHand, UsageError
from vaelab.io.files import expanded
from vaelab.io.hashing import short_hash
from vaelab.model import VAE
from vaelab.recipe.recipe import Recipe
from vaelab.registry.plugins import with_plugins
from vaelab.runs.folder import folder_of
from vaelab.runs.recipe import StoredRecipe
from vaelab.training.checkpoint import read_model
from vaelab.training.process_group import pick_device


def open_run(
    run: str | Path, data_dir: str | Path | None, device: str, model: VAE | None = None, data: Any = None
) -> tuple[VAE, StoredRecipe, Dataset]:
    """Model, recipe and data of a trained run; the data from where it was when the run was trained, unless told.

    `model` and `data` are those that no recipe describes, which its caller gives again, the data in any form.
    """
    restored, recipe, x_shape = restore(run, device, model)
    if data is None and "given" in recipe.section("data"):
        raise ComposedByHand(folder_of(run), "data")
    directory = data_dir or StoredRecipe.read(folder_of(run) / "recipe.yaml")[0].data_dir
    found = as_dataset(recipe.sections["data"] if data is None else data, directory)
    if found.x_shape != x_shape:
        raise UsageError(f"the images are {found.x_shape}, the model was trained on {x_shape}; name its own data")
    found = found if found.binary else found.on(restored.scale)
    if changed := changes(run, found):
        warnings.warn(changed, stacklevel=2)
    return restored, recipe, found


def changes(run: str | Path, data: Dataset) -> str | None:
    """That a set is not what the run was trained on; None where it is, and where an older run did not keep that."""
    before = read_model(model_file(run))[1].get("images", data.digest)
    if before == data.digest:
        return None
    return (
        f"the model was trained on {before}, and these are {data.digest}, split anew: some that it was trained on may "
        "be among those held out"
    )


def restore(
    run: str | Path, device: str = "cpu", model: VAE | None = None
) -> tuple[VAE, StoredRecipe, tuple[int, int, int]]:
    """Model in eval mode, recipe and image shape, from the model file alone; a copy of `model` in place of its own."""
    path = expanded(run)
    tensors, metadata = read_model(model_file(path))
    recipe = _recipe_in(metadata, path)
    if broken := [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]:
        raise UsageError(f"{path}: {broken[0]} holds values that are not finite; train again with a smaller train.lr")
    if model is None and recipe.by_hand:
        raise ComposedByHand(path, "model")
    try:
        x_shape = tuple(json.loads(metadata["x_shape"]))
        restored = copy.deepcopy(model) if model else _built(recipe, x_shape, metadata, folder_of(run))
        if model is not None:
            _refuse_other_model(restored, tensors, f"{path} holds another model", "build the one that was trained")
        restored.load_state_dict(tensors)
        restored.scale = scale_in(metadata)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"the weights in {path} do not fit the recipe in it; restore the file or train again"
        ) from error
    return restored.to(pick_device(device)).eval().requires_grad_(False), recipe, x_shape


def _built(recipe: StoredRecipe, x_shape: tuple[int, int, int], metadata: Mapping[str, str], folder: Path) -> VAE:
    with with_plugins(json.loads(metadata.get("plugins", "[]")), folder):
        classes = json.loads(metadata.get("classes", "0"))
        return Recipe.of(recipe.sections, recipe.name).build_model(x_shape, classes, scale=scale_in(metadata))


def scale_in(metadata: Mapping[str, str]) -> Scale:
    """The scale of a model's images, 8-bit ones in files of before."""
    return Scale(**json.loads(metadata.get("scale", "{}")))


def recipe_of(run: str | Path) -> StoredRecipe:
    """The recipe in a model file, or the sections that tell of a model composed by hand."""
    return _recipe_in(read_model(model_file(run))[1], expanded(run))


def take_weights(model: VAE, run: str | Path) -> None:
    """Let a model have the weights of a trained run; UsageError where that is another model."""
    tensors = read_model(model_file(run))[0]
    _refuse_other_model(model, tensors, f"train.init: {run} holds another model", "name a run with the same model")
    model.load_state_dict(tensors)


def _recipe_in(metadata: Mapping[str, str], path: Path) -> StoredRecipe:
    if not {"recipe", "x_shape"} <= set(metadata):
        raise UsageError(f"{path} was not written by vaelab: it has no recipe in its metadata; name a vaelab run")
    try:
        stored = json.loads(metadata["recipe"])
        return StoredRecipe(stored["options"], {k: v for k, v in stored.items() if k != "options"})
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"the weights in {path} do not fit the recipe in it; restore the file or train again"
        ) from error


def _refuse_other_model(model: VAE, tensors: Mapping[str, Tensor], problem: str, fix: str) -> None:
    mine, theirs = ({name: list(t.shape) for name, t in state.items()} for state in (model.state_dict(), tensors))
    if odd := [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]:
        here, there = (found.get(odd[0], "not there") for found in (mine, theirs))
        raise UsageError(f"{problem}: {odd[0]} is {there} in it, and {here} in this one", fix)


def weights_hash(run: str | Path) -> str:
    """The first digits of the sha256 of a run's model file."""
    path = model_file(run)
    read_model(path)  # says what is wrong with it
    return short_hash(path)


def model_file(run: str | Path) -> Path:
    """The model file of a run, also where that itself is named."""
    path = expanded(run)
    return path if path.suffix == ".safetensors" else path / "model.safetensors"


def labels_of(model: VAE, label: int | None, n: int) -> Tensor | None:
    """n times the same class; UsageError for one that the model does not know."""
    if label is not None and not 0 <= label < model.classes:
        raise UsageError(
            f"there is no class {label}: the model knows 0 to {model.classes - 1}"
            if model.classes
            else "this model is not conditional, so label has no meaning for it; leave it out"
        )
    return None if label is None else torch.tensor(label).expand(n)
