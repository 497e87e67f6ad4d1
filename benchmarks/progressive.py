"""What growing saves: a whole progressive run beside one of the same length at full resolution throughout."""

import argparse
from functools import partial

import torch

from steps import Laps, compare, dataset, noise
from vaelab.recipe.recipe import Recipe
from vaelab.training.process_group import ProcessGroup
from vaelab.training.seeds import seed_device, seed_of
from vaelab.training.step import TrainState

FULL, GROWING = "full resolution", "progressive"
STAGE = 10  # steps


def run(first: int) -> Laps:
    """Four stages' length per lap, from a step on, of the shipped recipe with stages of ten steps, half fading in."""
    stages = ("model.backbone.epochs_per_stage=1", "train.epochs=4", "train.lr_decay_epochs=1")
    torch.set_flush_denormal(True)  # as in vaelab.train
    recipe, group = Recipe.read("mnist-progressive", stages), ProcessGroup.join("cpu")
    data = dataset(noise(STAGE * recipe.options["train"]["batch_size"], 1, 32, 32))
    model = recipe.new_model(data)
    objective, options = recipe.build_training(data, 1, model)
    train_state = TrainState(model, objective, data.augment, options, group)
    while True:
        loss = 0.0
        for step in range(4 * STAGE):
            seed_device(group.device, seed_of("noise", options.seed, 0, step))
            rows = slice(step % STAGE * options.batch_size, (step % STAGE + 1) * options.batch_size)
            loss = float(train_state.step(data.train.images[rows], first + step)["loss"])
        yield loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    contenders = {FULL: partial(run, 4 * STAGE), GROWING: partial(run, 0)}  # the same networks, in their last stage
    compare(contenders, {GROWING: 1.0}, 4 * STAGE, given.rounds, given.threads)


if __name__ == "__main__":
    main()
