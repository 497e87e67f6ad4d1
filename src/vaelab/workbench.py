"""The public functions of a run: train a recipe, fit a model of one's own, load it, sample from it, plot it."""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Dataset
from vaelab.distributions.seeds import seeded
from vaelab.errors import Problems, TooShort, UsageError
from vaelab.evaluation import figures as gallery
from vaelab.evaluation.images import writer
from vaelab.evaluation.measure import ValidationMetrics
from vaelab.evaluation.stages import keep_pictures, kept_stages
from vaelab.io.places import also_in
from vaelab.io.progress import say
from vaelab.model import VAE
from vaelab.performance import flushing_denormals
from vaelab.recipe.begin import begin, write_recipe
from vaelab.recipe.recipe import TRAINED, Recipe
from vaelab.recipe.restore import labels_of, open_run, restore, take_weights
from vaelab.recipe.text import as_texts
from vaelab.recipe.trackers import Spec
from vaelab.registry.plugins import copy_plugins, plugin_records, with_plugins
from vaelab.registry.schema import Part, build, parse_part
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import LogWriter, forget
from vaelab.samplers.drawing import draw_batches, images, refuse_blind
from vaelab.tracking.beside import tracked
from vaelab.tracking.tracker import make
from vaelab.training.checkpoint import Checkpoint, find_checkpoint, refuse_other, save_model
from vaelab.training.interrupt import Interrupt
from vaelab.training.loop import Loop, steps_per_epoch
from vaelab.training.options import Best, TrainOptions
from vaelab.training.process_group import ProcessGroup
from vaelab.training.rehearsal import rehearse
from vaelab.training.terminal import TrainingDisplay


@dataclass(frozen=True, kw_only=True)
class Training:
    """A model to be trained, on what and for how long, and by what its best epoch is known."""

    model: VAE
    objective: Any
    data: Dataset
    options: TrainOptions
    metrics: ValidationMetrics
    best: Best
    fingerprint: str  # of all that decides the weights
    metadata: dict[str, str]  # of the model's file


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
    texts, group = as_texts(overrides), ProcessGroup.join(device)
    called = f"vaelab.train({', '.join(repr(word) for word in ([recipe] if recipe else []) + list(texts))})"
    with _session(group) as stack:
        # Claim the folder
        folder, wanted = group.on_main(lambda: begin(stack, recipe, texts, run, resume))
        stack.enter_context(with_plugins(group.broadcast(plugin_records()), folder))  # that the main process has found
        checkpoint = group.main_first(lambda: find_checkpoint(folder))

        # Compose the training
        data_dir = data_dir or (RunFolder.read(folder).recipe.data_dir if resume else None)
        stack.enter_context(also_in(data_dir))  # where the weights of a perceptual network may lie
        wanted = wanted.tracked_by(track)
        make(wanted.track)  # says what is not installed
        data = group.main_first(lambda: wanted.load_data(data_dir))
        wanted, training = _composed(wanted, data, group, data_dir)
        if checkpoint:
            refuse_other(checkpoint, folder / "last.pt", training.fingerprint, data.digest)
        elif training.options.init:
            take_weights(training.model, training.options.init)

        # Rehearse it, write down what is trained, and train
        group.on_main(partial(_rehearse, training, resume))
        group.on_main(partial(_write_down, folder, wanted, called, data_dir, began))
        _learn(training, folder, group, checkpoint, wanted.track, resume, quiet)
    return folder


@contextmanager
def _session(group: ProcessGroup) -> Iterator[ExitStack]:
    """What holds while a process trains, and is as before afterwards; the main one closes in it what it has opened."""
    with (
        seeded(0, group.device),  # for training sets its own seeds, and gives the caller's back
        flushing_denormals(),
        torch.enable_grad(),  # whatever the caller has set
        ExitStack() as stack,
    ):
        yield stack


def _composed(
    recipe: Recipe, data: Dataset, group: ProcessGroup, data_dir: str | Path | None
) -> tuple[Recipe, Training]:
    """What a recipe trains; where overrides made the run shorter than its warm-ups, with shorter warm-ups."""
    copies = TRAINED if group.device.type == "cpu" else 1  # in the memory of the machine
    model = recipe.new_model(data, copies)
    try:
        objective, options = recipe.build_training(data, group.size, model)
    except TooShort:
        recipe, said = recipe.shortened(len(data.train), group.size)
        if not said:
            raise
        if group.is_main:
            warnings.warn(said, stacklevel=1)
        model = recipe.new_model(data, copies)
        objective, options = recipe.build_training(data, group.size, model)
    epochs = math.ceil(options.steps / steps_per_epoch(len(data.train), options.batch_size, group.size))
    return recipe, Training(
        model=model,
        objective=objective,
        data=data,
        options=options,
        metrics=ValidationMetrics.of(recipe, data, group.device, epochs, data_dir),
        best=recipe.best,
        fingerprint=recipe.fingerprint,
        metadata={"recipe": recipe.to_json()} | _metadata(model, data, recipe.fingerprint),
    )


def _metadata(model: VAE, data: Dataset, hashed: str) -> dict[str, str]:
    """What a model's file says beside its recipe."""
    return {
        "x_shape": json.dumps(data.x_shape),
        "classes": json.dumps(model.classes),
        "fingerprint": hashed,
        "images": data.digest,
        "plugins": json.dumps(plugin_records()),
    }


def _rehearse(training: Training, resume: bool) -> None:
    """UsageError where parts do not go together, or a number that is asked for cannot be measured."""
    rehearse(training.model, training.objective, training.data)
    if not resume:
        training.metrics.rehearse(training.model, training.best)


def _write_down(
    folder: Path, recipe: Recipe, called: str, data_dir: str | Path | None, began: Callable[[Path], object]
) -> None:
    """Make the folder a run's, and tell of it."""
    write_recipe(folder, recipe.name, recipe.options, called, data_dir)
    copy_plugins(folder)
    began(folder)


def _learn(
    training: Training,
    folder: Path,
    group: ProcessGroup,
    checkpoint: Checkpoint | None,
    trackers: Sequence[Part],
    resume: bool,
    quiet: bool,
) -> None:
    """Run the epochs of a training: learn, validate, measure, and keep the weights of the best."""
    model, data, options = training.model, training.data, training.options
    with ExitStack() as stack:
        # State, trackers, log and interrupts
        if group.is_main:
            done = checkpoint.progress.step if checkpoint else 0
            if resume and trackers:
                forget(folder / "log.jsonl", done)  # before anyone follows it
            stack.enter_context(tracked(folder, trackers, done if resume else None))
        display = None if quiet or not group.is_main else TrainingDisplay()
        writer = LogWriter(folder / "log.jsonl", silent=not group.is_main, display=display)
        log = stack.enter_context(closing(writer))
        interrupt = stack.enter_context(Interrupt())
        if group.is_main and not quiet:
            say(data.summary)

        # Epochs
        loop = Loop(model, training.objective, data, options, folder, group, log, interrupt,
                    checkpoint=checkpoint, fingerprint=training.fingerprint)  # fmt: skip
        while not loop.over:
            learned, valid = loop.learn(), loop.validate()
            measured = group.on_main(partial(training.metrics, loop.epoch, loop.model))
            is_best = loop.record(learned, valid, measured, training.best.score(measured | valid))
            group.on_main(partial(_keep, training, loop, folder, is_best))
            loop.save()


def _keep(training: Training, loop: Loop, folder: Path, is_best: bool) -> None:
    """Write the weights of the best epoch, then pictures: a run killed before its checkpoint draws them again."""
    if is_best:
        save_model(folder / "model.safetensors", loop.model, training.metadata)
    keep_pictures(loop.model, training.data, loop.epoch, loop.progress.step, training.options.draw_every, folder)


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
    chosen = parse_part("sampler", sampler, "sampler", problems := [])
    if problems:
        raise Problems(problems, "the sampler has these problems")
    if pixels not in ("mean", "sample"):
        raise UsageError(f"pixels are mean or sample, not {pixels!r}")
    if n < 1:
        raise UsageError(f"{n} images are none; draw one or more")
    if chosen.kind == "prior":  # which needs no data
        model, split = restore(run, device)[0], None
    else:
        model, _, data = open_run(run, data_dir, device)
        split = data.as_seen()
    labels = labels_of(model, label, n)
    latents = build("sampler", chosen, "sampler", model=model, split=split)
    refuse_blind(model, latents)
    return model, latents, labels


def plot(run: str | Path, *only: str, data_dir: str | Path | None = None, device: str = "auto") -> list[Path]:
    """Draw the figures that a run allows, or those named, into its folder; returns their paths.

    Of a run that was stopped before it kept a model, those of its log.
    """
    folder = RunFolder.read(run)
    known = {"rows": folder.log.rows, "grown": kept_stages(folder.path), "bound": folder.recipe.bound}
    if folder.log.rows and not folder.has_model:
        warnings.warn("there is no model yet, so only figures of the log are drawn", stacklevel=1)
        known |= {"model": None, "data": None, "split": None}
    else:
        model, _, data = open_run(run, data_dir, device)
        known |= {"model": model, "data": data, "split": data.test}
    return list(gallery.draw(folder.figures, only, **known, results=folder.results("test")))


def draw(run: str | Path, *only: str, **options: Any) -> list[Path]:
    """The name of `plot` in earlier versions."""
    warnings.warn("vaelab.draw is called vaelab.plot now; the old name goes in the next version", FutureWarning, 2)
    return plot(run, *only, **options)
