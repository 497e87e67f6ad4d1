"""A recipe is a page of data; this file turns it into objects, and nothing else builds."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from vaelab.data import load_set
from vaelab.data.scale import EIGHT_BIT, Scale
from vaelab.data.source import Dataset
from vaelab.distributions.seeds import seeded
from vaelab.errors import ComposedByHand, Problems, TooShort, UsageError
from vaelab.io.memory import weights_within_memory
from vaelab.model import VAE
from vaelab.recipe.identity import MEANS, RECORDS, fingerprint, identity
from vaelab.recipe.sections import Alterations, Evaluate, Expectation, Model, given_data, read_data
from vaelab.recipe.shortening import length_of, run_steps, shorten
from vaelab.recipe.text import as_texts, find, plain, read_recipe, with_overrides
from vaelab.recipe.trackers import Spec, parsed
from vaelab.registry import Role
from vaelab.registry.plugins import with_plugins
from vaelab.registry.schema import Part, ReadBy, build, parse, resolve
from vaelab.roles import Objective
from vaelab.training.initialise import initialise
from vaelab.training.options import Best, TrainOptions
from vaelab.training.order import steps_per_epoch
from vaelab.training.seeds import seed_of

READ, TRAINED = 2, 5  # copies of the weights in memory: file and model; with gradient, average and Adam's two moments
for _package in ("backbones", "data", "features", "flows", "likelihoods", "metrics", "objectives", "posteriors"):
    import_module(f"vaelab.{_package}")  # registers its parts
for _package in ("priors", "samplers", "tracking"):
    import_module(f"vaelab.{_package}")


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: its name, its sections in their types, and `options`, the same sections as they were given.

    The section `altered` says what was changed by hand, and the length of the recipe's own run: what it `expect`s then
    is of that run and binds this one no more.
    """

    name: str
    options: dict[str, Any]
    own_length: Mapping[str, Any] = field(compare=False)  # of the run, in steps or epochs, before overrides
    chosen: tuple[str, ...] = field(compare=False)  # the keys overridden
    _: KW_ONLY
    paper: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Expectation] = field(default_factory=dict)
    altered: Alterations = field(default_factory=dict)
    data: Annotated[Part, Role("data"), ReadBy(read_data)]
    model: Model
    objective: Annotated[Part, Role("objective")]
    train: Annotated[Mapping[str, Any], ReadBy(partial(parse, TrainOptions))]  # whose durations wait
    evaluate: Evaluate = Evaluate(metrics=())
    best: Best = Best()
    track: tuple[Annotated[Part, Role("tracker")], ...] = ()

    @classmethod
    def read(cls, name: str | Path, overrides: Iterable[str | Mapping[str, Any]] = ()) -> "Recipe":
        """A shipped recipe, a file or a run's, with overrides like "train.lr=1e-4" or {"train.lr": 1e-4}.

        UsageError lists all that is wrong.
        """
        path = find(name)
        stem, options, plugins = read_recipe(path)
        with with_plugins(plugins, path.parent):
            return cls.of(options, stem, overrides)

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        name: str = "recipe",
        overrides: Iterable[str | Mapping[str, Any]] = (),
        own_length: Mapping[str, Any] | None = None,
        chosen: tuple[str, ...] = (),
    ) -> "Recipe":
        """The recipe of sections as a file gives them, with overrides (see `read`).

        UsageError lists all that is wrong. Overrides that decide what is reached are noted in `altered`.
        """
        options, texts, problems = plain(options), as_texts(overrides), []
        options.setdefault("objective", "elbo")
        own_length = own_length or length_of(options.get("train"))
        given = with_overrides(options, texts)
        sections = parse(cls, given, "", problems)
        trackers = sections.get("track", ())
        problems += [f"track: {t} stands twice; leave one out" for i, t in enumerate(trackers) if t in trackers[:i]]
        if problems:
            raise Problems(problems, f"recipe {name!r} has these problems")
        if by := [text for text in texts if _decides(text, options)]:
            noted = sections.get("altered", length_of(options.get("train")) | {"by": []})
            last = {text.partition("=")[0]: text for text in [*noted["by"], *by]}
            given["altered"] = sections["altered"] = {**noted, "by": list(last.values())}
        return cls(name, given, own_length, (*chosen, *(text.partition("=")[0] for text in texts)), **sections)

    def __str__(self) -> str:
        return self.name

    def overridden(self, overrides: Iterable[str | Mapping[str, Any]]) -> "Recipe":
        """This recipe with overrides (see `of`)."""
        return Recipe.of(self.options, self.name, overrides, self.own_length, self.chosen)

    def tracked_by(self, asked: Iterable[Spec]) -> "Recipe":
        """This recipe with trackers beside its own; a kind is tracked once."""
        new = [parsed(tracker) if isinstance(tracker, str) else tracker for tracker in asked]
        kinds = [tracker.get("kind") for tracker in new]
        kept = [tracker.as_mapping() for tracker in self.track if tracker.kind not in kinds]
        return self.overridden([{"track": [*kept, *new]}]) if new else self

    def shortened(self, images: int, processes: int = 1) -> tuple["Recipe", str]:
        """This recipe for a run that overrides have cut, with warm-ups and stages cut likewise, and what to say of it.

        What was itself overridden stays. Where nothing is shorter there is nothing to say.
        """
        per_epoch = self._steps_per_epoch(images, processes)
        own, now = (run_steps(train, per_epoch) for train in (self.own_length, self.train))
        if now >= own:
            return self, ""
        options, names = shorten(self.options, now / own, per_epoch, self.chosen)
        lengths = " in place of ".join(f"{float(steps / per_epoch):g}" for steps in (now, own))
        said = f"a run of {lengths} epochs: {', '.join(names)} shortened likewise" if names else ""
        return Recipe.of(options, self.name), said

    @property
    def fingerprint(self) -> str:
        """See `identity.fingerprint`."""
        return fingerprint(self.options)

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.train.get("seed", TrainOptions.seed)

    @property
    def binary(self) -> bool:
        """Whether the recipe binarises its images."""
        return self.data.options.get("binarise", "none") != "none"

    def on(self, data: Dataset) -> "Recipe":
        """This recipe on a set that its caller has; all that it says of its own images is replaced.

        UsageError where overrides say something of these.
        """
        if moot := [key for key in self.chosen if key.split(".")[0] == "data"]:
            raise UsageError(f"{moot[0]} is about the recipe's images, and others are given", "set it in Dataset.of")
        noted = self.altered or {**self.own_length, "by": []}
        by = [text for text in noted["by"] if not text.startswith("data")] + [f"data={data.name}"]
        sections = self.options | {"data": given_data(data), "altered": {**noted, "by": by}}
        return Recipe.of(sections, self.name, (), self.own_length, self.chosen)

    def load_data(self, directory: Path | str | None = None) -> Dataset:
        """The recipe's images; ComposedByHand where its caller has them."""
        if "given" in self.data.options:
            raise ComposedByHand(f"{self.name!r}", "data")
        return load_set(self.data, directory)

    def new_model(self, data: Dataset, copies: int = TRAINED) -> VAE:
        """A model to be trained on a set, from whose images prior and decoder may begin; see `build_model`."""
        if self.model.condition and not data.class_count:
            other = "set data.attribute, such as Male" if data.name == "celeba" else "take a set with classes"
            raise UsageError(
                f"model.condition needs the class of each image, and {data.name} has none; leave it out, or {other}"
            )
        per_epoch = self._steps_per_epoch(len(data.train))
        model = self.build_model(data.x_shape, data.class_count, per_epoch, copies, data.scale)
        initialise(model, data.as_seen(), self.seed, self.model.output_bias)
        return model

    def build_model(
        self,
        x_shape: tuple[int, int, int],
        classes: int = 0,
        steps_per_epoch: float | Fraction = 1,
        copies: int = READ,
        scale: Scale = EIGHT_BIT,
    ) -> VAE:
        """A new model for scaled images of a shape and so many classes, initialised by the recipe's seed.

        A model that grows while it learns counts its stages in epochs, and begins as what it is at their end.
        UsageError where so many `copies` of its weights do not fit into memory.
        """
        fix = "lower model.latent_dim, or the sizes of its backbone, posterior and prior"
        with seeded(seed_of("init", self.seed, 0, 0)), weights_within_memory(copies, fix):
            return self.model.compose(x_shape, classes, steps_per_epoch, scale)

    def build_training(self, data: Dataset, processes: int = 1, model: VAE | None = None) -> tuple[Any, TrainOptions]:
        """See `build_training`."""
        return build_training(self.train, self.objective, data, processes, model)

    def _steps_per_epoch(self, images: int, processes: int = 1) -> Fraction:
        batch_size = self.train.get("batch_size", TrainOptions.batch_size)
        return steps_per_epoch(images, batch_size, processes)


def as_json(name: str, sections: Mapping[str, Any], **noted: str) -> str:
    """A recipe as a model file holds it, but for who follows its training, and what else is noted."""
    return json.dumps({"name": name, "options": {k: v for k, v in sections.items() if k != "track"}} | noted)


def build_training(
    train: Mapping[str, Any], objective: Any, data: Dataset, processes: int = 1, model: VAE | None = None
) -> tuple[Any, TrainOptions]:
    """The objective, which may be one already, and the train options, with every duration in steps.

    Of a model that grows, the objective is told the stages.
    """
    per_epoch = steps_per_epoch(len(data.train), train.get("batch_size", TrainOptions.batch_size), processes)
    try:
        options = TrainOptions(**resolve(TrainOptions, train, "train", steps_per_epoch=per_epoch))
    except ValueError as error:
        raise UsageError(f"train: {error}") from error

    def epochs(steps: int) -> str:
        return f"{float(steps / per_epoch):.4g}"

    growth = model.growth if model else None
    if growth and growth.settled >= options.steps:  # no step would train the complete model
        raise TooShort(
            f"the model is complete after epoch {epochs(growth.settled)} alone, and the run has "
            f"{epochs(options.steps)}; shorten the stages with model.backbone.epochs_per_stage, or train longer"
        )
    if growth and options.at_stage == "reset" and options.lr_warmup_steps > growth.stage_steps:
        raise UsageError(
            f"train: lr_warmup_steps {options.lr_warmup_steps} is longer than a stage of {float(growth.stage_steps):g} "
            "steps, with each of which at_stage: reset begins anew; shorten it"
        )
    stages = {"stage_steps": float(growth.stage_steps), "stage_count": growth.stages} if growth else {}
    pixels = data.train.images.shape[1:].numel()
    supplied: dict[str, Any] = {"steps_per_epoch": per_epoch, "pixels": pixels, **stages}
    goal = objective if isinstance(objective, Objective) else build("objective", objective, **supplied)
    if goal.settled > options.steps:
        raise TooShort(
            f"objective: its schedules end at epoch {epochs(goal.settled)}, but the run has {epochs(options.steps)} "
            f"epochs; shorten them, for example with objective.beta.epochs={epochs(options.steps)}, or train longer"
        )
    return goal, options


def _decides(override: str, options: Mapping[str, Any]) -> bool:
    """Whether an override changes what a run reaches."""
    harmless = MEANS + RECORDS
    return identity(with_overrides(options, [override]), harmless) != identity(options, harmless)
