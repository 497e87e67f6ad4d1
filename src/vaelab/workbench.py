"""A run is a folder: this file makes one, trains it, and opens it again."""

import hashlib
import json
import math
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Dataset
from vaelab.distributions.seeds import seeded
from vaelab.errors import (
    AlreadyARun,
    ChangedRecipe,
    FolderGone,
    NoFolder,
    NothingToResume,
    OtherRecipe,
    Problems,
    TooShort,
    UsageError,
)
from vaelab.evaluation import figures as gallery
from vaelab.evaluation.images import writer
from vaelab.evaluation.measure import ValidationMetrics, versions
from vaelab.evaluation.stages import keep_stage, kept_stages
from vaelab.figures.style import save
from vaelab.io.files import also_in, expanded, write_whole
from vaelab.io.progress import say
from vaelab.model import VAE
from vaelab.performance import flushing_denormals
from vaelab.recipe.recipe import TRAINED, Recipe
from vaelab.recipe.restore import folder_of, labels_of, made, open_run, read_report, restore, take_weights
from vaelab.recipe.text import as_texts, find
from vaelab.recipe.trackers import Spec, override, specs_of
from vaelab.registry.plugins import copy_plugins, plugin_records, with_plugins
from vaelab.registry.schema import build, check_part, normalise
from vaelab.runs.claim import claimed
from vaelab.runs.folder import Folder
from vaelab.runs.log import forget, read_rows
from vaelab.runs.state import recorded
from vaelab.samplers.drawing import draw_batches, images, refuse_blind
from vaelab.tracking.live import followed
from vaelab.tracking.tracker import make
from vaelab.training import loop as engine
from vaelab.training.checkpoint import read_state
from vaelab.training.options import TrainOptions
from vaelab.training.process_group import ProcessGroup
from vaelab.training.rehearsal import rehearse

LENGTHS = ("steps", "epochs", "patience", "log_steps", "log_epochs", "save_every", "draw_every")


def train(
    recipe: str | None = None,
    *overrides: str | Mapping[str, Any],
    run: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    began: Callable[[Path], object] = lambda folder: None,
    track: Iterable[Spec] = (),
) -> Path:
    """Train a recipe into a run folder, which is returned; overrides are "train.lr=1e-4" or {"train.lr": 1e-4}.

    With `resume`, carry on from the last checkpoint of the folder `run`, for which no recipe need be named, or of the
    newest run of the recipe, which may be a folder itself. `began` is told the folder once it is a run's. `track` names
    who follows it beside the recipe's own: "tensorboard", or {"kind": "swanlab", "mode": "local"}.
    """
    texts = as_texts(overrides)
    group = ProcessGroup.join(device)
    with (
        seeded(0, group.device),  # for training sets its own seeds, and gives the caller's back
        flushing_denormals(),
        torch.enable_grad(),  # whatever the caller has set
        ExitStack() as claims,  # of the main process, which alone writes
    ):
        folder, wanted, done = group.on_main(lambda: _begin(claims, recipe, texts, run, resume))
        data_dir = data_dir or (made(folder).get("data_dir") if resume else None)
        called = f"vaelab.train({', '.join(repr(word) for word in ([recipe] if recipe else []) + list(texts))})"
        with with_plugins(group.broadcast(plugin_records()), folder):  # those that the main process has found
            wanted = wanted.overridden(override(wanted.options, track))
        _train(group, folder, wanted, done, called, data_dir, device=device, resume=resume, quiet=quiet, began=began)
    return folder


def _train(
    group: ProcessGroup,
    folder: Path,
    wanted: Recipe,
    done: int,
    called: str,
    data_dir: str | Path | None,
    *,
    device: str,
    resume: bool,
    quiet: bool,
    began: Callable[[Path], object],
) -> None:
    """Train a recipe into a folder that is claimed, from step `done` on; `called` tells how it was asked for."""
    trackers = specs_of(wanted.options)
    make(trackers)  # says what is not installed
    data = group.main_first(lambda: wanted.load_data(data_dir))
    wanted, model, objective, options = _built(wanted, data, group)
    if options.init and not (folder / "last.pt").exists():
        take_weights(model, options.init)
    with also_in(data_dir):
        rehearse(model, objective, data)
    epochs = math.ceil(options.steps / engine.steps_per_epoch(len(data.train), options.batch_size, group.size))
    watch, best = ValidationMetrics.of(wanted, data, group.device, epochs, data_dir), wanted.best()
    if group.is_main and not resume:
        watch.rehearse(model, best)
    if group.is_main:
        _write_recipe(folder / "recipe.yaml", wanted, data_dir, called)
        copy_plugins(folder)
        began(folder)
        if not quiet:
            say(data.summary)
    metadata = {
        "recipe": wanted.to_json(),
        "x_shape": json.dumps(data.x_shape),
        "classes": json.dumps(model.classes),
        "fingerprint": _fingerprint(wanted),
        "images": data.digest,
        "plugins": json.dumps(plugin_records()),
    }
    choice = {"device": device, "metadata": metadata, "quiet": quiet, "watch": watch, "best": best}
    if group.is_main and resume and trackers:
        forget(folder / "log.jsonl", done)  # before anyone follows it
    kept = recorded(folder) if group.is_main else nullcontext()
    with (
        followed(folder, trackers if group.is_main else [], done if resume else None),
        kept,  # within, so that waiting for trackers counts as no training
        also_in(data_dir),  # where the weights of a perceptual network may lie
    ):
        for epoch in engine.train(model, objective, data, options, folder, **choice):
            if not group.is_main:
                continue
            _keep_pictures(epoch, data, options.draw_every, folder)


def load(run: str | Path, device: str = "cpu") -> VAE:
    """The trained model of a run; needs the folder's `model.safetensors` alone, and the plugins it was trained with.

    It is in eval mode and frozen: `load(run).train().requires_grad_()` learns on.
    """
    return restore(run, device)[0]


def sample(
    run: str | Path,
    n: int = 64,
    *,
    sampler: Any = "prior",
    pixels: Literal["mean", "sample"] = "mean",
    seed: int = 0,
    label: int | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
) -> Tensor:
    """New images [n, C, H, W] in [0, 1] of a trained run; of a conditional one of the class `label`, or of all in turn.

    Latents come from the prior, or from a `sampler` fitted to those of the training images: "gmm", or
    {"kind": "gmm", "components": 20}. `pixels` are the means of p(x | z), or a draw from it.
    """
    model, latents, labels = _latents(run, n, pixels, sampler, label, data_dir, device)
    return images(model, latents, n, seed, pixels, labels)


def sample_files(
    run: str | Path,
    folder: Path,
    n: int = 64,
    *,
    pixels: Literal["mean", "sample"] = "mean",
    seed: int = 0,
    **how: Any,
) -> None:
    """The images that `sample` gives as 00000.png, 00001.png, … in a new folder, however many."""
    model, latents, labels = _latents(run, n, pixels, **how)
    draw_batches(model, latents, n, seed, writer(folder), pixels, labels)


def _latents(
    run: str | Path,
    n: int,
    pixels: str,
    sampler: Any = "prior",
    label: int | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
) -> tuple[VAE, Distribution, Tensor | None]:
    """The model, what its latents are drawn from, and the class of each; UsageError where they do not go together."""
    if problems := check_part("sampler", sampler, "sampler"):
        raise Problems(problems, "the sampler has these problems")
    if pixels not in ("mean", "sample"):
        raise UsageError(f"pixels are mean or sample, not {pixels!r}")
    if n < 1:
        raise UsageError(f"{n} images are none; draw one or more")
    if normalise(sampler)["kind"] == "prior":  # which needs no data
        model, split = restore(run, device)[0], None
    else:
        model, _, data = open_run(run, data_dir, device)
        split = data.as_seen()
    labels = labels_of(model, label, n)
    latents = build("sampler", sampler, "sampler", model=model, split=split)
    refuse_blind(model, latents)
    return model, latents, labels


def plot(run: str | Path, *only: str, data_dir: str | Path | None = None, device: str = "auto") -> list[Path]:
    """Draw the figures that a run allows, or those named, into its folder; returns their paths.

    Of a run that was stopped before it kept a model, those of its log.
    """
    folder = folder_of(run)
    rows, grown = read_rows(folder / "log.jsonl"), kept_stages(folder)
    if rows and not (folder / "model.safetensors").exists():
        warnings.warn("there is no model yet, so only figures of the log are drawn", stacklevel=1)
        allowed = gallery.of_log(rows, grown, Folder.read(folder).bound)
    else:
        model, _, data = open_run(run, data_dir, device)
        metrics = read_report(folder / "metrics.json").get("metrics", {})
        allowed = gallery.figures(model, data, rows, metrics, grown, Folder.read(folder).bound)
    return list(gallery.draw(allowed, folder / "figures", only))


def draw(run: str | Path, *only: str, **options: Any) -> list[Path]:
    """The name of `plot` in earlier versions."""
    warnings.warn("vaelab.draw is called vaelab.plot now; the old name goes in the next version", FutureWarning, 2)
    return plot(run, *only, **options)


def _built(recipe: Recipe, data: Dataset, group: ProcessGroup) -> tuple[Recipe, VAE, Any, TrainOptions]:
    """Model, objective and options; where overrides made the run shorter than its warm-ups, with shorter warm-ups."""
    copies = TRAINED if group.device.type == "cpu" else 1  # in the memory of the machine
    model = recipe.new_model(data, copies)
    try:
        return recipe, model, *recipe.build_training(data, group.size, model)
    except TooShort:
        shorter, said = recipe.shortened(len(data.train), group.size)
        if not said:
            raise
    model = shorter.new_model(data, copies)
    objective, options = shorter.build_training(data, group.size, model)
    if group.is_main:
        warnings.warn(said, stacklevel=1)
    return shorter, model, objective, options


def _begin(
    claims: ExitStack, recipe: str | None, overrides: tuple[str, ...], run: str | Path | None, resume: bool
) -> tuple[Path, Recipe, int]:
    """The folder, claimed, its recipe with the overrides, and the step that it has reached."""
    if isinstance(run, str) and not run.strip():
        raise UsageError("the name of the run's folder is empty; give it one, or leave it out")
    if resume:
        folder = _to_resume(recipe, run)
        claims.enter_context(claimed(folder))
        return folder, *_resumed(folder, recipe, overrides)
    if recipe is None:
        raise UsageError("there is no recipe; name one of your own, or one of those that vaelab list recipes shows")
    wanted = Recipe.read(recipe, overrides)
    if run is None:
        named = Path("runs") / f"{wanted.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return claims.enter_context(claimed(named, new=True)), wanted, 0
    folder = expanded(run)
    if folder.is_file():
        raise NoFolder(folder)
    claims.enter_context(claimed(folder))
    if (folder / "recipe.yaml").exists():
        raise AlreadyARun(folder)
    return folder, wanted, 0


def _resumed(folder: Path, recipe: str | None, overrides: tuple[str, ...]) -> tuple[Recipe, int]:
    """The recipe of a run with the overrides, which may change only lengths, and the step of its checkpoint."""
    stored = Recipe.read(str(folder))
    if recipe and expanded(recipe) != folder and (asked := find(recipe).stem) != stored.name:
        raise OtherRecipe(folder, stored.name, asked)
    wanted = Recipe(stored.name, stored.overridden(overrides).options)  # its warm-ups stay as they are
    if _fingerprint(wanted) != _fingerprint(stored):
        raise ChangedRecipe(folder, LENGTHS)
    last = folder / "last.pt"  # read here, so that what is wrong with it is said before anything is written
    return wanted, read_state(last, torch.device("cpu")).progress.step if last.exists() else 0


def _to_resume(recipe: str | None, run: str | Path | None) -> Path:
    """The folder that is named, also in the place of the recipe, or the newest of the recipe."""
    if run is None and recipe is None:
        raise NothingToResume("neither a run nor a recipe is named")
    named = expanded(run or recipe or "")
    if (named / "recipe.yaml").is_file():
        return named
    if recipe is None or run is not None:
        raise NothingToResume(f"{named} holds no run")
    runs = sorted(
        Path("runs").glob(f"{find(recipe).stem}-{'[0-9]' * 8}-*/recipe.yaml"),
        key=lambda path: path.stat().st_mtime,
    )
    if not runs:
        raise NothingToResume(f"no run of {recipe!r} in runs/")
    return runs[-1].parent


def _fingerprint(recipe: Recipe) -> str:
    """A hash of all that decides the weights, so that a checkpoint meets its own recipe again."""
    kept = {k: v for k, v in recipe.options.items() if k in ("data", "model", "objective", "evaluate", "best")}
    kept["train"] = {k: v for k, v in recipe.options["train"].items() if k not in LENGTHS}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _write_recipe(path: Path, recipe: Recipe, data_dir: str | Path | None, called: str) -> None:
    """The resolved recipe, and how it was made; a resumed run keeps how it began."""
    from_shell = Path(sys.argv[0]).name in ("vaelab", "__main__.py")
    command = shlex.join(["vaelab", *sys.argv[1:]]) if from_shell else called
    began = made(path.parent)
    new = {"name": recipe.name, "command": command, "versions": versions()}
    how = began | {"resumed": command} if began else new
    if plugins := plugin_records():
        how["plugins"] = plugins
    if data_dir:
        how["data_dir"] = str(Path(data_dir).resolve())
    text = yaml.safe_dump(recipe.options | {"made": how}, sort_keys=False, allow_unicode=True)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8") and None)


def _keep_pictures(epoch: engine.Epoch, data: Dataset, every: int, folder: Path) -> None:
    """What an epoch leaves to look at, in a folder that is not made again where it went away."""
    try:
        keep_stage(epoch.model, epoch.train["step"], folder)
        if every and epoch.number % every == 0:
            _draw_progress(epoch, data, folder)
    finally:  # also where that is why they could not be written
        if not (folder / "recipe.yaml").exists():
            raise FolderGone(folder)


def _draw_progress(epoch: engine.Epoch, data: Dataset, folder: Path) -> None:
    """Samples and reconstructions of an epoch."""
    at = f"after epoch {epoch.number}"
    stem = folder / "figures" / f"epoch_{epoch.number:04d}"
    stem.parent.mkdir(exist_ok=True)  # not its parent, which may have gone away
    save(gallery.samples(epoch.model, f"Samples {at}"), Path(f"{stem}_samples.png"))
    if hasattr(epoch.model.prior, "pseudo_inputs"):
        drawn = gallery.inputs(epoch.model, data.valid, f"Pseudo-inputs {at}")
        save(drawn, Path(f"{stem}_pseudo_inputs.png"))
    save(
        gallery.pairs(epoch.model, data.valid, f"Reconstructions {at}"),
        Path(f"{stem}_reconstructions.png"),
    )
