"""A training in its run folder: rehearsed, written down, and carried out epoch by epoch."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import torch

from vaelab.data.dataset import Dataset
from vaelab.distributions.seeds import seeded
from vaelab.errors import OtherRecipe, UsageError
from vaelab.evaluation.measure import Target, ValidationMetrics
from vaelab.evaluation.stages import keep_pictures
from vaelab.io.progress import say
from vaelab.performance import flushing_denormals
from vaelab.recipe.begin import write_recipe
from vaelab.recipe.restore import take_weights
from vaelab.recipe.training import Training
from vaelab.registry.plugins import copy_plugins
from vaelab.runs.log import LogWriter, forget
from vaelab.runs.recipe import StoredRecipe
from vaelab.tracking.beside import tracked
from vaelab.training.checkpoint import Checkpoint, refuse_other_images, save_model
from vaelab.training.interrupt import Interrupt
from vaelab.training.loop import Loop
from vaelab.training.process_group import ProcessGroup
from vaelab.training.rehearsal import rehearse
from vaelab.training.terminal import ShownLog


@contextmanager
def session(group: ProcessGroup) -> Iterator[ExitStack]:
    """What holds while a process trains, and is as before afterwards; the main one closes in it what it has opened."""
    with (
        group.watching(),
        seeded(0, group.device),  # for training sets its own seeds, and gives the caller's back
        flushing_denormals(),
        torch.enable_grad(),  # whatever the caller has set
        ExitStack() as stack,
    ):
        yield stack


def carry_out(
    training: Training,
    folder: Path,
    group: ProcessGroup,
    checkpoint: Checkpoint | None,
    called: str,
    data_dir: str | Path | None,
    before: StoredRecipe | None,
    quiet: bool,
    began: Callable[[Path], object] = lambda folder: None,
) -> None:
    """Begin or carry on a training in its folder; `called` tells how it was asked for, `before` what a run stored."""
    _refuse_unlike(folder, group, checkpoint, training.data)
    if checkpoint:
        if checkpoint.fingerprint != training.fingerprint:
            raise OtherRecipe(folder / "last.pt")
        refuse_other_images(checkpoint.images, folder / "last.pt", training.data.digest)
    elif training.options.init:
        take_weights(training.model, training.options.init)
    target = Target(data=training.data, split="valid", device=group.device, data_dir=data_dir, asked=training.evaluate)
    metrics = ValidationMetrics(target, training.epochs(group.size))

    def write() -> None:
        rehearse(training.model, training.objective, training.data, foreign=bool(training.composed))
        if not before:
            metrics.rehearse(training.model, training.best)
        write_recipe(folder, training, called, data_dir, before)
        copy_plugins(folder)
        began(folder)
        if not quiet:
            say(training.data.summary)

    group.on_main(write)
    with ExitStack() as stack:
        if group.is_main:
            done = checkpoint.progress.step if checkpoint else 0
            if before and training.track:
                forget(folder / "log.jsonl", done)  # before anyone follows it
            fail = stack.enter_context(tracked(folder, training.track, done if before else None))
            stack.enter_context(group.parting(fail))
        path, shown = folder / "log.jsonl", group.is_main and not quiet
        log = ShownLog(path) if shown else LogWriter(path, silent=not group.is_main)
        stack.enter_context(closing(log))
        stack.enter_context(group.parting(lambda lost: log.close()))
        _learn(training, folder, group, checkpoint, metrics, log, stack.enter_context(Interrupt()))


def _refuse_unlike(folder: Path, group: ProcessGroup, checkpoint: Checkpoint | None, data: Dataset) -> None:
    """UsageError where processes, maybe on several machines, have found different things on their disks."""
    steps = group.gather(checkpoint.progress.step if checkpoint else None)
    sets = group.gather(data.digest)
    for rank in range(group.size):
        if steps[rank] != steps[0]:
            raise UsageError(
                f"rank {rank} does not find the checkpoint in {folder} that rank 0 has; "
                "put the run on a file system that all machines share"
            )
        if sets[rank] != sets[0]:
            raise UsageError(
                f"rank 0 has {sets[0]}, and rank {rank} has {sets[rank]}; give all machines the same images"
            )


def _learn(
    training: Training,
    folder: Path,
    group: ProcessGroup,
    checkpoint: Checkpoint | None,
    metrics: ValidationMetrics,
    log: LogWriter,
    interrupt: Interrupt,
) -> None:
    """Run the epochs: learn, validate, measure, and keep the weights of the best."""
    model, objective, data, options = training.model, training.objective, training.data, training.options
    kept = {"checkpoint": checkpoint, "fingerprint": training.fingerprint}
    loop = Loop(model, objective, data, options, folder, group, log, interrupt, **kept)
    while not loop.over:
        learned, valid = loop.learn(), loop.validate()
        measured = group.on_main(partial(metrics, loop.epoch, loop.model))
        is_best = loop.record(learned, valid, measured, training.best.score(measured | valid))
        group.on_main(partial(_keep, training, loop, folder, is_best))
        loop.save()


def _keep(training: Training, loop: Loop, folder: Path, is_best: bool) -> None:
    """Write the weights of the best epoch, then pictures: a run killed before its checkpoint draws them again."""
    if is_best:
        save_model(folder / "model.safetensors", loop.model, training.metadata)
    keep_pictures(loop.model, training.data, loop.epoch, loop.progress.step, training.options.draw_every, folder)
