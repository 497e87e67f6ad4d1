"""A recipe is a page of data; this file turns it into objects, and nothing else builds."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import Discriminator, Tag

from vaelab.data import load_set
from vaelab.data.source import Dataset
from vaelab.errors import UsageError, listed
from vaelab.labels import LabelledDecoder, LabelledEncoder
from vaelab.model import VAE, growth_of
from vaelab.process import seeded
from vaelab.recipe_text import find, read_recipe, with_overrides
from vaelab.registry import Count, Part, Size, build, check, check_part, defaults, hint, resolve
from vaelab.start import start
from vaelab.tracking.chosen import problems_of
from vaelab.training.engine import steps_per_epoch
from vaelab.training.options import Best, TrainOptions
from vaelab.training.plugins import with_plugins
from vaelab.training.randomness import seed_of

# Overrides after which a recipe is still expected to reach what it says.
KEEPS_EXPECTATIONS = (
    *("expect", "track"),
    *(f"train.{k}=" for k in ("seed", "compile", "precision", "log_steps", "save_every", "draw_every")),
)
SECTIONS = ("paper", "expect", "data", "model", "objective", "train", "evaluate", "best", "track")

PACKAGES = (
    "backbones",
    "data",
    "extractors",
    "flows",
    "likelihoods",
    "metrics",
    "objectives",
    "posteriors",
    "priors",
    "samplers",
    "tracking",
)
for _package in PACKAGES:
    import_module(f"vaelab.{_package}")  # registers its parts


def as_levels(given: Any) -> tuple[Any, ...]:
    """One size as the only level."""
    return tuple(given) if isinstance(given, list | tuple) else (given,)


# One size, or those of the levels of a hierarchy, the top level first.
Levels = Annotated[
    Annotated[Size, Tag("")] | Annotated[tuple[Size, ...], MinLen(1), Tag("[]")],
    Discriminator(lambda given: "[]" if isinstance(given, list) else ""),
]


def model_options(
    *,
    latent_dim: Levels,
    backbone: Annotated[Any, Part("backbone")],
    posterior: Annotated[Any, Part("posterior")] = "gaussian",
    prior: Annotated[Any, Part("prior")] = "normal",
    likelihood: Annotated[Any, Part("likelihood")] = "bernoulli",
    condition: tuple[Literal["encoder", "decoder", "prior"], ...] = (),
    output_bias: Literal["random", "data"] = "random",
) -> None:
    """The `model` section; its signature is all that is used.

    `condition` lists what sees the class of an image; `output_bias` is where the decoder's last bias begins.
    """


def evaluate_options(
    *,
    metrics: list[Any],
    every: Size = 1,
    n: Size | None = None,
    sampler: Annotated[Any, Part("sampler")] = "prior",
    pixels: Literal["mean", "sample"] | None = None,
    seed: Count = 0,
) -> None:
    """The `evaluate` section: what is measured of the validation images every so many epochs; its signature is used."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: `name`, and `options` by section."""

    name: str
    options: dict[str, Any]

    @classmethod
    def read(cls, name: str, overrides: Iterable[str] = ()) -> "Recipe":
        """A shipped recipe, a file or a run's, with `dotted.key=value` overrides; UsageError lists what is wrong."""
        path = find(name)
        stem, options, plugins = read_recipe(path)
        with with_plugins(plugins, path.parent):
            return cls(stem, options).overridden(overrides)

    def overridden(self, overrides: Iterable[str]) -> "Recipe":
        """This recipe with `dotted.key=value` overrides; another recipe by them loses what was expected of it."""
        overrides = list(overrides)
        options = with_overrides(self.options, overrides)
        if not all(text.startswith(KEEPS_EXPECTATIONS) for text in overrides):
            options = {k: v for k, v in options.items() if k != "expect"}
        return Recipe(self.name, options).checked()

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe in a model's metadata."""
        stored = json.loads(text)
        return cls(stored["name"], stored["options"]).checked()

    def to_json(self) -> str:
        """One line of text from which `from_json` makes the same recipe, but for who follows its training."""
        return json.dumps({"name": self.name, "options": {k: v for k, v in self.options.items() if k != "track"}})

    def checked(self) -> "Recipe":
        """The recipe itself, or a UsageError with every problem in it."""
        if problems := _problems(self.options):
            raise UsageError(listed(problems, f"recipe {self.name!r} has these problems"))
        return self

    @property
    def binary(self) -> bool:
        """Whether the recipe binarises its images."""
        data = self.options["data"]
        return isinstance(data, Mapping) and data.get("binarise", "none") != "none"

    def load_data(self, directory: Path | str | None = None) -> Dataset:
        """The recipe's images."""
        return load_set(self.options["data"], directory)

    def new_model(self, data: Dataset) -> VAE:
        """A model to be trained on a set, from whose images prior and decoder may begin."""
        if self.condition and not data.class_count:
            other = "set data.attribute, such as Male" if data.name == "celeba" else "take a set with classes"
            raise UsageError(
                f"model.condition needs the class of each image, and {data.name} has none; leave it out, or {other}"
            )
        model = self.build_model(data.x_shape, data.class_count, self._steps_per_epoch(data))
        start(model, data.as_seen(), self._seed, (defaults(model_options) | self.options["model"])["output_bias"])
        return model

    def build_model(self, x_shape: tuple[int, int, int], classes: int = 0, steps_per_epoch: int = 1) -> VAE:
        """A new model for images of a shape and so many classes, initialised by the recipe's seed.

        A model that grows while it learns counts its stages in epochs, and begins as what it is at their end.
        """
        with seeded(seed_of("init", self._seed, 0, 0)):
            return self._composed(x_shape, classes, steps_per_epoch)

    def _composed(self, x_shape: tuple[int, int, int], classes: int, steps_per_epoch: int) -> VAE:
        given, sees = defaults(model_options) | self.options["model"], self.condition
        levels = as_levels(given["latent_dim"])
        sizes = {"x_shape": x_shape, "latent_dim": sum(levels), "levels": levels, "top_dim": levels[0]}
        likelihood = build("likelihood", given["likelihood"], "model.likelihood", **sizes)
        channels, *sides = x_shape
        encoder, decoder = build(
            "backbone",
            given["backbone"],
            "model.backbone",
            x_shape=(channels + ("encoder" in sees), *sides),
            latent_dim=sum(levels) + classes * ("decoder" in sees),
            out_channels=likelihood.params_per_channel * channels,
            levels=levels,
            steps_per_epoch=steps_per_epoch,
            every_stage=getattr(likelihood, "every_stage", False),
        )
        encoder = LabelledEncoder(encoder, x_shape, classes) if "encoder" in sees else encoder
        decoder = LabelledDecoder(decoder, classes) if "decoder" in sees else decoder
        posterior = build("posterior", given["posterior"], "model.posterior", encoder=encoder, **sizes)
        classes = classes if sees else 0
        labels = {"classes": classes, "conditional": "prior" in sees}
        prior = build("prior", given["prior"], "model.prior", **labels, **sizes)
        return VAE(prior, posterior, decoder, likelihood, classes)

    def build_training(self, data: Dataset, processes: int = 1, model: VAE | None = None) -> tuple[Any, TrainOptions]:
        """The objective and the train options, with every duration in steps; of a model that grows, with its stages."""
        given, per_epoch = self.options["train"], self._steps_per_epoch(data, processes)
        try:
            train = TrainOptions(**resolve(TrainOptions, given, "train", steps_per_epoch=per_epoch))
        except ValueError as error:
            raise UsageError(f"train: {error}") from error
        growth = growth_of(model) if model else None
        if growth and growth.settled >= train.steps:  # no step would train the complete model
            raise UsageError(
                f"the model is complete after epoch {growth.settled / per_epoch:g} alone, and the run has "
                f"{train.steps / per_epoch:g}; shorten the stages with model.backbone.epochs_per_stage, or train longer"
            )
        if growth and train.at_stage == "reset" and train.lr_warmup_steps > growth.stage_steps:
            raise UsageError(
                f"train: lr_warmup_steps {train.lr_warmup_steps} is longer than a stage of {growth.stage_steps} steps, "
                "with each of which at_stage: reset begins anew; shorten it"
            )
        stages = {"stage_steps": growth.stage_steps, "stage_count": growth.stages} if growth else {}
        pixels = data.train.images[0].numel()
        objective = build("objective", self.options["objective"], steps_per_epoch=per_epoch, pixels=pixels, **stages)
        if (settled := getattr(objective, "settled", 0)) > train.steps:
            raise UsageError(
                f"objective: its schedules end at epoch {settled / per_epoch:g}, but the run has "
                f"{train.steps / per_epoch:g} epochs; shorten them, for example with objective.beta.epochs="
                f"{train.steps / per_epoch:g}, or train longer"
            )
        return objective, train

    def _steps_per_epoch(self, data: Dataset, processes: int = 1) -> int:
        batch_size = self.options["train"].get("batch_size", TrainOptions.batch_size)
        return steps_per_epoch(len(data.train), batch_size, processes)

    @property
    def condition(self) -> list[str]:
        """What sees the class of an image."""
        return self.options["model"].get("condition", [])

    @property
    def _seed(self) -> int:
        return self.options.get("train", {}).get("seed", 0)

    def best(self) -> Best:
        """By what the best epoch is known."""
        return Best(**resolve(Best, self.options.get("best", {}), "best"))


def _problems(options: Mapping[str, Any]) -> list[str]:
    problems = [f"{key}: unknown section; {hint(str(key), list(SECTIONS))}" for key in options if key not in SECTIONS]
    problems += [
        f"{key}: expected a mapping, got {options[key]!r}" for key in ("paper", "expect") if not _maps(options, key)
    ]
    if _maps(options, "expect"):
        bars = {str(name): bar for name, bar in options.get("expect", {}).items() if not _is_bar(bar)}
        problems += [
            f"expect.{k}: expected numbers as at_most, at_least or value, tolerance; got {v!r}" for k, v in bars.items()
        ]
    for section in ("data", "model", "objective", "train"):
        if section not in options:
            problems.append(f"the section {section} is missing; give it")
        elif section in ("data", "objective"):
            problems += check_part(section, options[section], section)
        else:
            problems += check(model_options if section == "model" else TrainOptions, options[section], section)
    return problems + _watched_problems(options) + problems_of(options)


def _watched_problems(options: Mapping[str, Any]) -> list[str]:
    """Of what is measured while training."""
    problems = check(Best, options["best"], "best") if "best" in options else []
    if "evaluate" not in options:
        return problems
    given = options["evaluate"]
    problems += check(evaluate_options, given, "evaluate")
    metrics = given.get("metrics") if isinstance(given, Mapping) else None
    kinds = []
    for i, metric in enumerate(metrics if isinstance(metrics, list) else []):
        problems += check_part("metric", metric, f"evaluate.metrics[{i}]")
        kinds.append(metric.get("kind") if isinstance(metric, Mapping) else metric)
    if twice := [kind for i, kind in enumerate(kinds) if kind in kinds[:i]]:
        problems.append(f"evaluate.metrics: {twice[0]} stands twice, and its numbers have one name; leave one out")
    return problems


def _is_bar(bar: Any) -> bool:
    numbers = (
        [bar[k] for k in ("at_most", "at_least", "value", "tolerance") if k in bar] if isinstance(bar, Mapping) else []
    )
    return bool(numbers) and all(isinstance(n, int | float) for n in numbers)


def _maps(options: Mapping[str, Any], key: str) -> bool:
    return isinstance(options.get(key, {}), Mapping)
