"""Train a VAE: one readable loop for one CPU or many GPUs.

Batch order and every random number are functions of (seed, rank, step). A run therefore resumes exactly from a
checkpoint that stores no random-generator or loader state, only the step.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.data.source import Dataset
from vaelab.errors import Diverged, OtherRecipe, Stopped, UsageError
from vaelab.model import VAE
from vaelab.runs.log import Log, Row
from vaelab.training.checkpoint import Checkpoint, Progress, read_state, refuse_unlike, save_model, save_state
from vaelab.training.interrupt import Interrupt
from vaelab.training.options import Best, TrainOptions
from vaelab.training.process_group import ProcessGroup
from vaelab.training.seeds import seed_device, seed_of, shuffled
from vaelab.training.step import TrainState
from vaelab.training.validation import validate

CALIBRATING = 20  # batches that batch normalisation of the averaged weights sees


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch."""

    number: int
    model: VAE  # averaged weights, in eval mode
    train: Row
    valid: Row


def train(
    model: VAE,
    objective: Any,
    data: Dataset,
    options: TrainOptions,
    folder: Path,
    *,
    device: str = "auto",
    metadata: dict[str, str] | None = None,
    quiet: bool = False,
    watch: Callable[[int, VAE], dict[str, float]] = lambda epoch, model: {},
    best: Best = Best(),  # noqa: B008
) -> Iterator[Epoch]:
    """Minimise the objective, yielding at the end of each epoch; carry on from `folder/last.pt` if it is there.

    Writes `log.jsonl`, `last.pt` and, with the averaged weights of the best epoch, `model.safetensors`. The best is
    known by the validation bound at β = 1, or by a number of those that `watch` measures at the end of an epoch.
    UsageError on Ctrl-C, Diverged where the loss is no longer a number, VaelabError where a disk is full; the last
    good checkpoint stays.
    """
    group = ProcessGroup.join(device)
    group.barrier()  # from here on nobody waits long, but where the first process measures and draws
    per_epoch = steps_per_epoch(len(data.train), options.batch_size, group.size)
    learner, progress = TrainState(model, objective, data.augment, options, group), Progress()
    if (folder / "last.pt").exists():
        kept = read_state(folder / "last.pt", group.device)
        if kept.fingerprint != (metadata or {}).get("fingerprint"):
            raise OtherRecipe(folder / "last.pt")
        if kept.images not in (None, data.digest):
            raise UsageError(
                f"{folder / 'last.pt'} was trained on {kept.images}, and now there are {data.digest}, split anew; "
                "put the images back as they were, or start a new run"
            )
        refuse_unlike(kept.learner, learner.state(), folder / "last.pt")
        learner.load(kept.learner)
        progress = kept.progress
    images, labels = resident(data.train.images, group.device), data.train.labels if model.classes else None
    held_out = replace(data.valid, images=resident(data.valid.images, group.device))

    def steps(until: int) -> Iterator[tuple[int, Row]]:
        """Learn up to a step, or until interrupted; yields how many steps each logged row sums up."""
        order = shuffled(len(images), options.seed, progress.step // per_epoch)
        window, began, stop = [], time.perf_counter(), False
        while progress.step < until and not stop:
            first = progress.step % per_epoch * options.batch_size
            rows = order[first : first + options.batch_size][group.rank :: group.size]
            seed_device(group.device, seed_of("noise", options.seed, group.rank, progress.step))
            y = None if labels is None else labels[rows]
            window.append(learner.step(images.index_select(0, rows.to(images.device)), progress.step, y))
            progress.step += 1
            logged = progress.step % options.log_steps == 0 or progress.step == until
            stop = interrupt.asked if group.size == 1 else logged and group.all_reduce_any(interrupt.asked)
            if logged or stop:
                row = mean_of(window, progress.step, folder, group)
                pace = len(window) * options.batch_size / (time.perf_counter() - began)
                yield len(window), row | {"images_per_second": pace}
                window, began = [], time.perf_counter()

    def save() -> None:
        if group.is_main:
            now = Checkpoint(learner.state(), progress, (metadata or {}).get("fingerprint"), data.digest)
            save_state(folder / "last.pt", now)

    with closing(Log(folder / "log.jsonl", silent=not group.is_main, quiet=quiet)) as log, Interrupt() as interrupt:
        log.begin(progress.step, options.steps, math.ceil(options.steps / per_epoch))
        ended = progress.over(options)
        while not ended:
            number = progress.step // per_epoch + 1
            until = min(number * per_epoch, options.steps)
            for count, row in steps(until):
                at = {"kind": "step", "step": progress.step, "epoch": progress.step / per_epoch}
                log.write(at | {"split": "train"} | row)
                progress.add(row, count)
            if progress.step < until:
                save()
                raise Stopped(progress.step, number, folder, within=True)

            learner.settle(progress.step)
            seed_device(group.device, seed_of("calibrate", options.seed, 0, progress.step))
            few = shuffled(len(images), options.seed, number)[: min(CALIBRATING, per_epoch) * options.batch_size]
            learner.calibrate(images[few.to(images.device)], None if labels is None else labels[few])
            at = {"kind": "epoch", "step": progress.step, "epoch": number}
            train_row = at | {"split": "train"} | progress.close()
            held = validate(learner.average, objective, held_out, options.seed, group)
            valid_row = at | {"split": "valid", "beta": 1.0} | held
            if broken := [k for k in ("reconstruction", "kl", "loss") if not math.isfinite(valid_row[k])]:
                raise _diverged(progress.step, broken, folder)
            watched = group.broadcast(watch(number, learner.average) if group.is_main else {})
            # Scores of smaller images do not compare with those of whole ones; the last step taken was step - 1.
            growing = progress.step <= learner.settled
            score = None if growing else best.score(watched | valid_row)
            better = score is not None and score > progress.best
            progress.best = score if score is not None and better else progress.best
            warming = progress.step < objective.settled  # β still rising: no verdict yet
            progress.stale = 0 if better or warming else progress.stale + (score is not None)
            log.write(train_row)
            if watched:
                log.write({"kind": "evaluation", "step": progress.step, "epoch": number, "split": "valid"} | watched)
            log.write(valid_row | {"best": better})

            ended = progress.over(options)
            if (better or (ended and progress.best == -math.inf)) and group.is_main:  # a run never ends without a model
                save_model(folder / "model.safetensors", learner.average, metadata or {})
            # Its pictures are drawn before the checkpoint is written: a run killed between them draws them again.
            yield Epoch(number, learner.average, train_row, valid_row)
            group.barrier()
            stopped = not ended and group.all_reduce_any(interrupt.asked)
            if ended or stopped or number % options.save_every == 0:
                save()
            if stopped:
                raise Stopped(progress.step, number, folder, within=False)


def steps_per_epoch(images: int, batch_size: int, processes: int = 1) -> int:
    """Whole batches in an epoch; what is left over is left out, others each epoch."""
    if batch_size % processes:
        low = batch_size // processes * processes
        sizes = " or ".join(str(s) for s in (low, low + processes) if s)
        raise UsageError(f"batch_size {batch_size} does not divide by {processes} processes; try {sizes}")
    if batch_size > images:
        raise UsageError(f"batch_size {batch_size} exceeds the {images} training images; try {images} or fewer")
    return images // batch_size


def resident(images: Tensor, device: torch.device) -> Tensor:
    """The images on the device if they take less than half of what is free there, else where they are."""
    if device.type == "cuda" and 2 * images.nbytes > torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)


def mean_of(window: list[dict[str, Tensor | float]], step: int, folder: Path, group: ProcessGroup) -> Row:
    """Means of the scalars of some steps, read from the device at once; refuses what is not finite."""
    columns = [torch.stack([torch.as_tensor(scalars[k]) for scalars in window]).cpu().double() for k in window[0]]
    table = dict(zip(window[0], torch.stack(columns).tolist(), strict=True))
    for i in range(len(window)):
        if broken := [k for k, column in table.items() if not math.isfinite(column[i])]:
            raise _diverged(step - len(window) + i, broken, folder)
    return group.all_reduce_mean({k: math.fsum(column) / len(column) for k, column in table.items()})


def _diverged(step: int, broken: list[str], folder: Path) -> Diverged:
    term = next((k for k in ("reconstruction", "kl") if k in broken), broken[0])
    checkpoint = folder / "last.pt"
    return Diverged(term, step, checkpoint if checkpoint.exists() else None)
