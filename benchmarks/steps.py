"""Training steps side by side: laps of vaelab's training state, and the table of them beside those of a plain loop."""

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from measure import Runner, interleaved, judged, load_average, serve_laps
from vaelab.data.source import Dataset, Split
from vaelab.recipe.recipe import Recipe
from vaelab.training.batches import Batches
from vaelab.training.order import Order
from vaelab.training.process_group import ProcessGroup
from vaelab.training.seeds import seed_device, seed_of
from vaelab.training.step import TrainState

Laps = Iterator[float]  # trains for one epoch per `next`, and gives the last step's loss


def noise(*shape: int) -> Tensor:
    """Images of black and white pixels, uint8; the time does not depend on their values."""
    return (torch.rand(*shape) < 0.2).byte() * 255


def dataset(images: Tensor) -> Dataset:
    few = Split(images[:1])
    return Dataset("noise", train=Split(images), valid=few, test=few)


def vaelab(recipe: Recipe, *shape: int) -> Laps:
    """Our training state on images of a shape [N, C, H, W], with batches and seeds as the engine has them."""
    group = ProcessGroup.join("cpu")
    torch.set_flush_denormal(True)  # as in vaelab.train
    data = dataset(noise(*shape))
    objective, options = recipe.build_training(data)
    train_state = TrainState(recipe.new_model(data), objective, data.augment, options, group)
    batches = Batches(data.train, Order(shape[0], options.batch_size, options.seed), group, labelled=False)
    per_epoch = shape[0] // options.batch_size
    for epoch in itertools.count():
        scalars = {}
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            batch, _ = batches[step]
            seed_device(group.device, seed_of("noise", options.seed, 0, step))
            scalars = train_state.step(batch, step)
        yield float(scalars["loss"])


def serve(pipe: Any, contender: Callable[[], Laps], threads: int) -> None:
    """One contender, in its own process."""
    torch.set_num_threads(threads)
    serve_laps(pipe, contender())


def compare(
    contenders: Mapping[str, Callable[[], Laps]], bars: Mapping[str, float], steps: int, rounds: int, threads: int
) -> dict[str, float]:
    """Time epochs of so many steps, judge all against the first, and return the peak memory of each in MiB."""
    runners = {name: Runner(serve, contender, threads) for name, contender in contenders.items()}
    warm = {name: runner.lap()[0].wall for name, runner in runners.items()}
    laps = [{k: lap.each(steps) for k, lap in round_.items()} for round_ in interleaved(runners, rounds)]
    peaks = {name: runner.peak for name, runner in runners.items()}
    for runner in runners.values():
        runner.stop()
    print(f"{rounds} rounds of {steps} steps, {threads} threads; load average {load_average()}")
    print(f"{'':28}{'ms/step':>10}{'CPU ms':>10}{'first lap':>11}{'peak MiB':>10}")
    for name in runners:
        wall, cpu = (statistics.median(getattr(lap[name], k) for lap in laps) * 1e3 for k in ("wall", "cpu"))
        print(f"{name:28}{wall:10.1f}{cpu:10.1f}{warm[name]:9.1f} s{peaks[name]:10.0f}")
    plain = next(iter(runners))
    for name, bar in bars.items():
        print(judged(f"{name} : {plain}", bar, *([lap[k] for lap in laps] for k in (plain, name))), flush=True)
    return peaks
