"""What learns: a model, its average, the optimiser's state, and the one step that changes them."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from vaelab.model import VAE
from vaelab.roles import Terms
from vaelab.schedules import Constant, Cosine, Linear, Schedule
from vaelab.training.average import Average
from vaelab.training.optimiser import Adam
from vaelab.training.options import TrainOptions
from vaelab.training.process_group import ProcessGroup


class TrainState:
    """`step(batch, number)` is one function of weights, batch, noise and the step's number as a tensor.

    It therefore compiles into a single graph: augmentation, forward, backward, clipping and Adam together.
    """

    def __init__(
        self,
        model: VAE,
        objective: Any,
        augment: Callable[[Tensor], Tensor],
        options: TrainOptions,
        group: ProcessGroup,
    ) -> None:
        self.model, self.objective, self.augment = model.to(group.device).train(), objective, augment
        self.options, self.group, self.share = options, group, group.share(options.batch_size)
        group.broadcast_(model.state_dict().values())
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        averaged = [a for a, p in zip(self.average.parameters(), model.parameters(), strict=True) if p.requires_grad]
        self.ema = Average(self.parameters, averaged, options.ema)
        self.adam = Adam(
            self.parameters,
            betas=options.betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
            decoupled=options.optimizer == "adamw",
            spared=model.undecayed(),
        )
        self.schedules = lr_schedules(options, options.steps)
        self.growing = [net.growth for net in (model, self.average) if net.growth]  # which are told the step
        self.began = 0  # the step in which the present stage began
        # The function and not the bound method: a learner that held itself would outlive its run, with all weights.
        self._step = TrainState._update
        if options.compile:  # on a CPU without Python between kernels
            self._step = torch.compile(self._step, options={"cpp_wrapper": group.device.type == "cpu"})
        # Schedules are computed in float64 where the device has it.
        self._real = torch.float32 if group.device.type == "mps" else torch.float64

    def step(self, batch: Tensor, number: int, labels: Tensor | None = None) -> dict[str, Tensor | float]:
        """Learn from uint8 images [B, C, H, W], and their classes [B] if the model sees them.

        Returns scalars to log, still on the device.
        """
        told = self._told(number)
        since = number - (self.began if self.options.at_stage == "reset" else 0)
        device, lr = self.group.device, self.options.lr * math.prod(schedule(since) for schedule in self.schedules)
        rates = self.adam.rates(lr).to(device, non_blocking=True)
        batch = batch.to(device, non_blocking=True)
        labels = labels if labels is None else labels.to(device, non_blocking=True)
        now = torch.tensor(number, dtype=self._real, device=device)
        with self.group.together():  # what a compiled step has in its graph
            scalars, moved = self._step(self, batch, labels, now, rates)
        self.adam.count(moved)
        self.ema.add(number + 1, number + 1 - self.began)
        return {**scalars, "lr": lr, **told}

    def _told(self, number: int) -> dict[str, float]:
        """Tell a model that grows the step, and return the state that it takes on."""
        if not self.growing:
            return {}
        told, _ = [growth.at(number) for growth in self.growing]
        self.began, ends = self.growing[0].began, self.growing[0].ends
        if self.options.at_stage == "reset":
            self.schedules = lr_schedules(self.options, int(min(ends, self.options.steps)) - self.began)
            if number == self.began > 0:
                self.adam.reset()
        return told

    @property
    def settled(self) -> int:
        """The step from which the model no longer grows."""
        return self.growing[0].settled if self.growing else 0

    def _update(
        self, batch: Tensor, y: Tensor | None, number: Tensor, rates: Tensor
    ) -> tuple[dict[str, Tensor], list[int]]:
        x = self.augment(batch)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
            terms = self.model(x, y, samples=self.objective.samples, path=self.objective.path)
        loss, scalars = self.objective(terms, number)
        scalars = told(loss, terms, scalars)
        loss.backward()
        gradients = [p.grad for p in self.parameters]
        present = [g for g in gradients if g is not None]
        self.group.all_reduce_mean_(present, self.share)
        norm = clip_(present, self.options.clip_norm)
        moved = self.adam.step(gradients, rates)
        for parameter in self.parameters:
            parameter.grad = None
        log = {**scalars, "grad_norm": norm}
        return {k: v.detach() if isinstance(v, Tensor) else number.new_tensor(v) for k, v in log.items()}, moved

    def settle(self, done: int) -> None:
        """End an epoch: bring the average up to date, and buffers together over the processes."""
        self.ema.read(done, done - self.began)
        buffers = [b for b in self.model.buffers() if b.is_floating_point()]
        self.group.all_reduce_mean_(buffers, self.share)
        for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor], take: Callable[[Tensor], tuple[Tensor, Tensor | None]]) -> None:
        """Batch normalisation of the averaged weights: statistics of their own, of batches that are taken by number.

        Those of the last weights do not fit (Izmailov et al. 2018).
        """
        layers = [layer for layer in self.average.modules() if isinstance(layer, _BatchNorm)]
        if not layers:
            return
        kept, device = [layer.momentum for layer in layers], self.group.device
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
            layer.train()
        for rows in batches:
            x, y = take(rows)
            self.average(self.augment(x.to(device)), y if y is None else y.to(device))
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum
            layer.eval()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "model": self.model.state_dict(),
            "average": self.ema.sum,
            "adam": self.adam.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["model"])  # what is not learned
        self.ema.load(state["average"])
        self.adam.load_state_dict(state["adam"])


def told(loss: Tensor, terms: Terms, scalars: Mapping[str, Tensor | float]) -> dict[str, Tensor | float]:
    """What an objective has logged, and what each logs where that was not in it."""
    always = {"loss": lambda: loss, "reconstruction": lambda: -terms.log_px.mean(), "kl": lambda: terms.rate.mean()}
    return {name: mean() for name, mean in always.items() if name not in scalars} | dict(scalars)


def clip_(gradients: list[Tensor], largest: float | None) -> Tensor:
    """Shrink the whole gradient to a norm of at most `largest`; returns the norm it had."""
    if torch.compiler.is_compiling():  # sums that fuse into what reads the gradients anyway
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
    else:
        norm = torch.nn.utils.get_total_norm(gradients)
    if largest is not None:
        torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1))  # pyright: ignore[reportPrivateImportUsage]
    return norm


def lr_schedules(options: TrainOptions, steps: int) -> list[Schedule]:
    """Factors of the learning rate over so many steps."""
    falling = min(options.lr_decay_steps or steps, steps)
    cosine = Cosine(start=1, end=0, steps=falling, delay_steps=steps - falling)
    decay = cosine if options.lr_schedule == "cosine" else Constant()
    warmup = options.lr_warmup_steps
    return [decay, Linear(start=1 / (warmup + 1), steps=warmup)] if warmup else [decay]
