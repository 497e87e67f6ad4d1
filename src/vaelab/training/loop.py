"""The training loop: epochs of steps, on one CPU or many GPUs.

Batch order and every random number are functions of (seed, rank, step). A run therefore resumes exactly from a
checkpoint that stores no random-generator or loader state, only the step.
"""

import math
import time
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.data.source import Dataset
from vaelab.errors import Diverged, Stopped
from vaelab.model import VAE
from vaelab.performance import compiling_steps
from vaelab.runs.log import LogWriter, Row
from vaelab.training.batches import Batches, resident
from vaelab.training.checkpoint import Checkpoint, Progress, refuse_unlike, save_checkpoint
from vaelab.training.interrupt import Interrupt
from vaelab.training.options import TrainOptions
from vaelab.training.order import Order, end_of, epoch_of, steps_per_epoch
from vaelab.training.process_group import ProcessGroup
from vaelab.training.seeds import seed_device, seed_of
from vaelab.training.step import TrainState
from vaelab.training.validation import validate

CALIBRATION_BATCHES = 20  # that batch normalisation of the averaged weights sees


class Loop:
    """The epochs of a run, from a checkpoint on; whoever runs them measures, and says how good each is.

    while not loop.over:
        learned, valid = loop.learn(), loop.validate()
        loop.record(learned, valid, {}, score=-valid["loss"])
        loop.save()

    UsageError on Ctrl-C, Diverged where the loss is no longer a number, VaelabError where a disk is full; the last
    good checkpoint stays.
    """

    def __init__(
        self,
        model: VAE,
        objective: Any,
        data: Dataset,
        options: TrainOptions,
        folder: Path,
        group: ProcessGroup,
        log: LogWriter,
        interrupt: Interrupt,
        *,
        checkpoint: Checkpoint | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.objective, self.options, self.folder, self.group = objective, options, folder, group
        self.log, self.interrupt, self.fingerprint, self.digest = log, interrupt, fingerprint, data.digest
        group.barrier()  # from here on nobody waits long, but where the first process measures and draws

        # The state that is trained, and how far it is
        self.state, self.progress = TrainState(model, objective, data.augment, options, group), Progress()
        if checkpoint is not None:
            refuse_unlike(checkpoint.train_state, self.state.state_dict(), folder / "last.pt")
            self.state.load_state_dict(checkpoint.train_state)
            self.progress = checkpoint.progress

        # The images, on the device where they fit
        self.per_epoch = steps_per_epoch(len(data.train), options.batch_size, group.size)
        self.order = Order(len(data.train), options.batch_size, options.seed)
        self.batches = Batches(data.train, self.order, group, model.classes > 0)
        self.held_out = replace(data.valid, images=resident(data.valid.images, group.device))

        log.begin(self.progress.step, options.steps, epoch_of(options.steps, self.per_epoch))
        if checkpoint is not None and checkpoint.processes not in (None, group.size) and not self.over:
            self._note_processes(checkpoint.processes)

    @property
    def model(self) -> VAE:
        """The averaged weights as of the last epoch, in eval mode."""
        return self.state.average

    @property
    def epoch(self) -> int:
        """The number of the epoch that was learned last, or is under way."""
        return epoch_of(self.progress.step, self.per_epoch)

    @property
    def over(self) -> bool:
        """Whether the run has its length, or has waited long enough for a better score."""
        return self.progress.step >= self.options.steps or 0 < self.options.patience <= self.progress.stale

    def learn(self) -> Row:
        """Learn until the end of the epoch, from wherever in it the run stands; the means over its steps."""
        progress, options, group = self.progress, self.options, self.group
        epoch = math.floor(progress.step / self.per_epoch) + 1
        until = min(end_of(epoch, self.per_epoch), options.steps)
        window, began = [], time.perf_counter()
        with compiling_steps(options.compile), closing(self.batches.ahead(range(progress.step, until))) as batches:
            for batch, labels in batches:
                window.append(self._step(batch, labels))
                logged = progress.step % options.log_steps == 0 or progress.step == until
                asked = self.interrupt.asked
                stop = asked if group.size == 1 else logged and group.all_reduce_any(asked)
                if logged or stop:
                    self._log_steps(window, time.perf_counter() - began)
                    window, began = [], time.perf_counter()
                if stop and progress.step < until:
                    self._stop(within=True)
        self._average(epoch)
        return progress.close()

    def validate(self) -> Row:
        """The bound of the held-out images at β = 1, and its terms."""
        found = validate(self.model, self.objective, self.held_out, self.options.seed, self.group)
        if broken := [k for k in ("reconstruction", "kl", "loss") if not math.isfinite(found[k])]:
            raise self._diverged(self.progress.step, broken)
        return found

    def record(self, learned: Row, valid: Row, measured: dict[str, float], score: float | None) -> bool:
        """Log the epoch with what was `measured` of it; whether its weights are to be kept.

        They are if its score, higher is better, is the best so far, and those of the last epoch where none had one.
        """
        # Scores of smaller images do not compare with those of whole ones; the last step taken was step - 1.
        progress, growing = self.progress, self.progress.step <= self.state.settled
        at = {"kind": "epoch", "step": progress.step, "epoch": self.epoch}
        better = progress.judge(None if growing else score, warming=progress.step < self.objective.settled)
        self.log.write(at | {"split": "train"} | learned)
        if measured:
            self.log.write(at | {"kind": "evaluation", "split": "valid"} | measured)
        self.log.write(at | {"split": "valid", "beta": 1.0} | valid | {"best": better})
        return better or (self.over and progress.best == -math.inf)

    def save(self) -> None:
        """Write a checkpoint where one is due; UsageError after Ctrl-C."""
        stopped = not self.over and self.group.all_reduce_any(self.interrupt.asked)
        if stopped:
            self._stop(within=False)
        if self.over or self.epoch % self.options.save_every == 0:
            self._save()

    def _step(self, batch: Tensor, labels: Tensor | None) -> dict[str, Tensor | float]:
        """Learn from the batch of this step."""
        step, group = self.progress.step, self.group
        seed_device(group.device, seed_of("noise", self.options.seed, group.rank, step))
        scalars = self.state.step(batch, step, labels)
        self.progress.step += 1
        return scalars

    def _log_steps(self, window: list[dict[str, Tensor | float]], seconds: float) -> None:
        """Log the means of the scalars of some steps, read from the device at once; Diverged if one is not finite."""
        step = self.progress.step
        with self.group.together():  # on a GPU, steps that wait for others are waited for here
            columns = [torch.stack([torch.as_tensor(row[k]) for row in window]).cpu().double() for k in window[0]]
        table = dict(zip(window[0], torch.stack(columns).tolist(), strict=True))
        for i in range(len(window)):
            if broken := [k for k, column in table.items() if not math.isfinite(column[i])]:
                raise self._diverged(step - len(window) + i, broken)
        means = {k: math.fsum(column) / len(column) for k, column in table.items()}
        means = self.group.all_reduce_mean(means, self.state.share)
        row = means | {"images_per_second": len(window) * self.options.batch_size / seconds}
        self.log.write({"kind": "step", "step": step, "epoch": float(step / self.per_epoch), "split": "train"} | row)
        self.progress.add(row, len(window))

    def _average(self, epoch: int) -> None:
        """Bring the averaged weights up to date, and their batch normalisation."""
        step, seed = self.progress.step, self.options.seed
        self.state.settle(step)
        seed_device(self.group.device, seed_of("calibrate", seed, 0, step))
        few = self.order.first(epoch, CALIBRATION_BATCHES * self.options.batch_size)
        self.state.calibrate(few.split(self.options.batch_size), self.batches.take)

    def _note_processes(self, before: int) -> None:
        """Say and log that other processes learn from here on; the row is of their first step."""
        now, step = self.group.size, self.progress.step + 1
        place = {"kind": "processes", "step": step, "epoch": float(step / self.per_epoch), "split": "train"}
        self.log.write(place | {"processes": now, "processes_before": before})
        if self.group.is_main:
            by = f"by {now} process{'es' if now > 1 else ''} in place of {before}"
            warnings.warn(f"trained {by} from step {step} on: with other noise, on the same batches", stacklevel=2)

    def _save(self) -> None:
        if self.group.is_main:
            state = self.state.state_dict()
            now = Checkpoint(state, self.progress, self.fingerprint, self.digest, self.group.size)
            save_checkpoint(self.folder / "last.pt", now)

    def _stop(self, *, within: bool) -> None:
        self._save()
        raise Stopped(self.progress.step, self.epoch, self.folder, within=within)

    def _diverged(self, step: int, broken: list[str]) -> Diverged:
        term = next((k for k in ("reconstruction", "kl") if k in broken), broken[0])
        checkpoint = self.folder / "last.pt"
        return Diverged(term, step, checkpoint if checkpoint.exists() else None)
