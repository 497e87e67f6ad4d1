"""A trained run on disk, restored: its model, recipe and data."""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from vaelab.data.source import Dataset
from vaelab.errors import UsageError
from vaelab.io.files import expanded
from vaelab.io.hashing import short_hash
from vaelab.model import VAE
from vaelab.recipe.recipe import Recipe
from vaelab.registry.plugins import with_plugins
from vaelab.runs.folder import folder_of
from vaelab.runs.recipe import StoredRecipe
from vaelab.training.checkpoint import read_model
from vaelab.training.process_group import pick_device


def open_run(run: str | Path, data_dir: str | Path | None, device: str) -> tuple[VAE, Recipe, Dataset]:
    """Model, recipe and data of a trained run; the data from where it was when the run was trained, unless told."""
    model, recipe, x_shape = restore(run, device)
    data = recipe.load_data(data_dir or StoredRecipe.read(folder_of(run) / "recipe.yaml")[0].data_dir)
    if data.x_shape != x_shape:
        raise UsageError(f"the images are {data.x_shape}, the model was trained on {x_shape}; name its own data")
    if changed := changes(run, data):
        warnings.warn(changed, stacklevel=2)
    return model, recipe, data


def changes(run: str | Path, data: Dataset) -> str | None:
    """That a set is not what the run was trained on; None where it is, and where an older run did not keep that."""
    before = read_model(model_file(run))[1].get("images", data.digest)
    if before == data.digest:
        return None
    return (
        f"the model was trained on {before}, and these are {data.digest}, split anew: some that it was trained on may "
        "be among those held out"
    )


def restore(run: str | Path, device: str = "cpu") -> tuple[VAE, Recipe, tuple[int, int, int]]:
    """Model in eval mode, recipe and image shape, from the model file alone."""
    path = expanded(run)
    tensors, metadata = read_model(model_file(path))
    if not {"recipe", "x_shape"} <= set(metadata):
        raise UsageError(f"{path} was not written by vaelab: it has no recipe in its metadata; name a vaelab run")
    if broken := [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]:
        raise UsageError(f"{path}: {broken[0]} holds values that are not finite; train again with a smaller train.lr")
    try:
        with with_plugins(json.loads(metadata.get("plugins", "[]")), folder_of(run)):
            recipe = Recipe.from_json(metadata["recipe"])
        x_shape = tuple(json.loads(metadata["x_shape"]))
        model = recipe.build_model(x_shape, json.loads(metadata.get("classes", "0")))
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"the weights in {path} do not fit the recipe in it; restore the file or train again"
        ) from error
    return model.to(pick_device(device)).eval().requires_grad_(False), recipe, x_shape


def take_weights(model: VAE, run: str | Path) -> None:
    """Let a model have the weights of a trained run; UsageError where that is another model."""
    mine, theirs = model.state_dict(), restore(run)[0].state_dict()
    shapes = [{name: list(tensor.shape) for name, tensor in state.items()} for state in (mine, theirs)]
    if odd := [name for name in {**mine, **theirs} if shapes[0].get(name) != shapes[1].get(name)]:
        here, there = (found.get(odd[0], "not there") for found in shapes)
        raise UsageError(
            f"train.init: {run} holds another model: {odd[0]} is {there} in it, and {here} in this one; "
            "name a run with the same model section"
        )
    model.load_state_dict(theirs)


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
