"""The `train` section of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vaelab.errors import TooShort
from vaelab.registry import Count, Fraction, NonNegative, Positive, Size


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How long, how fast, how exactly and how often; durations in steps, in a recipe also in epochs."""

    steps: Size  # of the whole run
    batch_size: Size = 128  # over all processes
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: Positive = 1e-3
    lr_schedule: Literal["constant", "cosine"] = "constant"  # cosine: to 0 at the end of the run
    lr_decay_steps: Count = 0  # of the cosine, the last of the run; 0: all
    lr_warmup_steps: Count = 0  # linear, from 0
    at_stage: Literal["carry", "reset"] = "carry"  # of a growing model, Adam's moments and the learning rate's schedule
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = None  # of the whole gradient
    ema: Fraction = 0.999  # decay per step of the averaged weights, which are what is kept; 0: the last weights
    precision: Literal["float32", "bfloat16"] = "float32"  # of the networks; probabilities stay float32
    compile: bool = False  # the whole step as one graph; worth its minute on runs longer than a few
    seed: Count = 0
    patience: Count = 0  # epochs without a better validation bound before the run stops; 0: never
    log_steps: Size = 50
    save_every: Size = 1  # epochs
    draw_every: Count = 10  # epochs; 0: no pictures while training

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
    """By what the best epoch is known: the validation loss at β = 1, or any number measured while training."""

    metric: str = "loss"
    mode: Literal["min", "max"] = "min"

    def score(self, values: Mapping[str, float]) -> float | None:
        """Higher is better; None in an epoch that did not measure it."""
        value = values.get(self.metric)
        return value if value is None or self.mode == "max" else -value
