"""A training: what learns, on what, for how long, and by what its best epoch is known; by a recipe or by hand."""

import copy
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from torch import Tensor

from vaelab.data import is_registered
from vaelab.data.dataset import Dataset
from vaelab.errors import Problems, TooShort, UsageError
from vaelab.model import VAE
from vaelab.recipe.identity import fingerprint
from vaelab.recipe.recipe import TRAINED, Recipe, as_json, build_training
from vaelab.recipe.sections import Evaluate, given_data
from vaelab.registry import name_of
from vaelab.registry.plugins import plugin_records
from vaelab.registry.schema import Part, parse
from vaelab.roles import Objective, Terms
from vaelab.runs.recipe import BY_HAND
from vaelab.training.initialise import initialise
from vaelab.training.options import Best, TrainOptions
from vaelab.training.order import epoch_of, steps_per_epoch
from vaelab.training.process_group import ProcessGroup

EPOCHS = 10  # of a training that is not told its length


@dataclass(frozen=True)
class Function(Objective):
    """An objective that is a function of the terms and the step, with the defaults of one for all else."""

    function: Callable[..., Any]

    def __call__(self, terms: Terms, step: float | Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Loss and scalars of the function."""
        return self.function(terms, step)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The objects of a training, and the `sections` that tell of them in its recipe.yaml."""

    name: str
    sections: Mapping[str, Any]
    model: VAE
    objective: Any
    data: Dataset
    options: TrainOptions
    evaluate: Evaluate = Evaluate(metrics=())
    best: Best = Best()
    track: tuple[Part, ...] = ()
    composed: str = ""  # BY_HAND, or "" of a recipe's

    @classmethod
    def of(cls, recipe: Recipe, data: Dataset, group: ProcessGroup) -> "Training":
        """A recipe's; where overrides made the run shorter than its warm-ups, with shorter warm-ups."""
        copies = TRAINED if group.device.type == "cpu" else 1  # in the memory of the machine
        model = recipe.new_model(data, copies)
        try:
            objective, options = recipe.build_training(data, group.size, model)
        except TooShort:
            recipe, said = recipe.shortened(len(data.train), group.size)
            if not said:
                raise
            if group.is_main:
                warnings.warn(said, stacklevel=1)
            model = recipe.new_model(data, copies)
            objective, options = recipe.build_training(data, group.size, model)
        return cls(
            name=recipe.name,
            sections=recipe.options,
            model=model,
            objective=objective,
            data=data,
            options=options,
            evaluate=recipe.evaluate,
            best=recipe.best,
            track=recipe.track,
        )

    @classmethod
    def by_hand(
        cls, model: VAE, objective: Any, data: Dataset, given: Any, train: Mapping[str, Any], group: ProcessGroup
    ) -> "Training":
        """Of a copy of `model`, by an objective or its name, on a set that was `given` in some form."""
        _refuse_untrainable(model, objective, data)
        model = copy.deepcopy(model)
        model.scale = data.scale
        length = {} if {"steps", "epochs"} & set(train) else {"epochs": EPOCHS}
        sizes = {"batch_size": min(TrainOptions.batch_size, len(data.train))}
        chosen = parse(TrainOptions, sizes | length | dict(train), "options", problems := [])
        if problems:
            raise Problems(problems, "the options have these problems")
        asked = Function(objective) if callable(objective) and not isinstance(objective, Objective) else objective
        goal, options = build_training(chosen, asked, data, group.size, model)
        initialise(model, data.as_seen(), options.seed, "random")
        sections = {
            "data": given if is_registered(given) else given_data(data),
            "model": {role: _told(role, getattr(model, role)) for role in ("posterior", "prior", "likelihood")},
            "objective": _told("objective", objective) if callable(objective) else objective,
            "train": asdict(options),
        }
        return cls(
            name="fit",
            sections=json.loads(json.dumps(sections)),
            model=model,
            objective=goal,
            data=data,
            options=options,
            composed=BY_HAND,
        )

    def epochs(self, processes: int) -> int:
        """The number of its epochs, the last of which may be cut short."""
        size = self.options.batch_size
        return epoch_of(self.options.steps, steps_per_epoch(len(self.data.train), size, processes))

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the weights after a step."""
        return fingerprint(self.sections)

    @property
    def metadata(self) -> dict[str, str]:
        """What the model's file says."""
        noted = {"composed": self.composed} if self.composed else {}
        return {
            "recipe": as_json(self.name, self.sections, **noted),
            "x_shape": json.dumps(self.data.x_shape),
            "classes": json.dumps(self.model.classes),
            "fingerprint": self.fingerprint,
            "images": self.data.digest,
            "scale": json.dumps(self.data.scale.as_mapping()),
            "plugins": json.dumps(plugin_records()),
        }


def _refuse_untrainable(model: Any, objective: Any, data: Dataset) -> None:
    if not isinstance(model, VAE):
        raise UsageError(
            f"the model is a {type(model).__name__}", "compose a VAE(prior, posterior, decoder, likelihood)"
        )
    if model.classes > data.class_count:
        raise UsageError(
            f"the model sees {model.classes} classes, and the images have {data.class_count or 'no labels'}",
            "give (images, labels) in each split",
        )
    if isinstance(objective, type):
        raise UsageError(f"the objective is the class {objective.__name__}", "give one made of it, or its name")
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError("no parameter of the model requires a gradient", "thaw it with model.requires_grad_()")


def _told(role: str, thing: Any) -> Any:
    """What a recipe may say of a part: the name that it is registered by, else its own, and how it was made."""
    name = name_of(role, type(thing)) or getattr(thing, "__name__", type(thing).__name__)
    return {"kind": name, "given": repr(thing)} if is_dataclass(thing) else name
