"""The `train` section of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vaelab.errors import TooShort
from vaelab.registry import Count, Fraction, NonNegative, Positive, Seed, Size


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The `train` section: how long, how fast, how exactly and how often; lengths in steps may be given in epochs.

    - `steps`: the length of the run; in its place mostly `epochs`, as in train.epochs=5;
    - `batch_size`: images in a step, over all processes;
    - `optimizer`: with weight decay apart from the gradient (adamw, Loshchilov & Hutter 2019) or in it (adam);
    - `lr`: the learning rate;
    - `lr_schedule`: cosine falls to 0 at the end of the run;
    - `lr_decay_steps`: the length of the cosine, at the end of the run; 0: all of it;
    - `lr_warmup_steps`: the first, in which the learning rate rises from 0 along a line;
    - `at_stage`: whether Adam's moments and the learning rate's schedule begin anew with a stage of a growing model;
    - `betas`: the decay of Adam's two moments;
    - `eps`: what Adam adds to its denominator;
    - `weight_decay`: the share of a weight that a step of rate 1 takes away; priors' pseudo-inputs are spared;
    - `clip_norm`: the largest norm of the whole gradient;
    - `ema`: decay per step of the averaged weights, which are what is kept; 0: the last weights;
    - `precision`: of the networks; probabilities stay float32;
    - `compile`: the whole step as one graph, which is worth its minute on runs longer than a few;
    - `init`: a run of the same model, whose weights are the first ones;
    - `seed`: of the first weights, the order of the images and all noise;
    - `patience`: epochs without a better validation bound before the run stops; 0: never;
    - `log_steps`: between two rows of the log;
    - `save_every`: epochs between two checkpoints to carry on from;
    - `draw_every`: epochs between pictures of samples and reconstructions; 0: none while training.
    """

    steps: Size
    batch_size: Size = 128
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: Positive = 1e-3
    lr_schedule: Literal["constant", "cosine"] = "constant"
    lr_decay_steps: Count = 0
    lr_warmup_steps: Count = 0
    at_stage: Literal["carry", "reset"] = "carry"
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = None
    ema: Fraction = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    init: str | None = None
    seed: Seed = 0
    patience: Count = 0
    log_steps: Size = 50
    save_every: Size = 1
    draw_every: Count = 10

    def __post_init__(self) -> None:
        if self.lr_decay_steps and self.lr_schedule == "constant":
            raise ValueError("lr_decay_steps are those of the cosine; set lr_schedule=cosine, or leave them out")
        if not max(self.betas) < 1:
            raise ValueError(f"betas must be below 1, got {list(self.betas)}")
        if self.lr_warmup_steps > self.steps:
            raise TooShort(
                f"train: lr_warmup_steps {self.lr_warmup_steps} is longer than the run of {self.steps} steps"
            )


@dataclass(frozen=True, kw_only=True)
class Best:
    """The `best` section: by what the best epoch is known, whose weights are kept.

    - `metric`: loss, the validation loss at β = 1, or the name of a number that `evaluate` measures while training;
    - `mode`: whether the smallest or the largest is best.
    """

    metric: str = "loss"
    mode: Literal["min", "max"] = "min"

    def score(self, values: Mapping[str, float]) -> float | None:
        """Higher is better; None in an epoch that did not measure it."""
        value = values.get(self.metric)
        return value if value is None or self.mode == "max" else -value
