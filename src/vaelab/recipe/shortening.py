"""A shorter run has shorter warm-ups: the durations in a recipe, scaled as the length of its run is."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from vaelab.registry.schema import twin

STAGE = "epochs_per_stage"  # of a backbone that grows, in whole epochs
OF_A_RUN = ("lr_warmup_", "lr_decay_")  # how the durations of the train section begin that are parts of the run


def length_of(train: Any) -> dict[str, float]:
    """The length of a run as its train section gives it, in steps or in epochs; nothing of what is no such section."""
    given = train if isinstance(train, Mapping) else {}
    return {key: given[key] for key in ("epochs", "steps") if isinstance(given.get(key), int | float)}


def run_steps(train: Mapping[str, Any], per_epoch: Fraction) -> float:
    """The length of a run in steps, which its train section gives in steps or in epochs."""
    return train["steps"] if "steps" in train else train.get("epochs", 0) * per_epoch


def shorten(
    options: Mapping[str, Any], share: float, per_epoch: Fraction, chosen: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """The sections of a recipe whose run is cut to a share, and the names of what is now shorter in them.

    Warm-ups of the objective and of the learning rate are then given in steps, stages in whole epochs; what stands
    under the dotted keys `chosen` is as the user wants it.
    """
    options, names, chosen = dict(options), [], [f"{key}." for key in chosen]
    model = options["model"]
    backbone = model["backbone"]
    if isinstance(backbone, Mapping) and STAGE in backbone and not _touched(f"model.backbone.{STAGE}.", chosen):
        stage = max(1, int(backbone[STAGE] * share))
        names += ["model.backbone"] * (stage < backbone[STAGE])
        share = min(share, stage / backbone[STAGE])
        options["model"] = {**model, "backbone": {**backbone, STAGE: stage}}
    for name in ("objective", "train"):
        options[name] = _scaled(options[name], share, per_epoch, name, chosen, names)
    return options, names


def _scaled(value: Any, share: float, per_epoch: Fraction, path: str, chosen: list[str], names: list[str]) -> Any:
    """A part of a recipe with shorter durations, unless one of them was chosen."""
    if not isinstance(value, Mapping):
        return value
    value = {k: _scaled(v, share, per_epoch, f"{path}.{k}", chosen, names) for k, v in value.items()}
    in_steps = {k: v * per_epoch if k.endswith("epochs") else v for k, v in value.items() if twin(k)}
    durations = {k: v for k, v in in_steps.items() if v and (path != "train" or k.startswith(OF_A_RUN))}
    if not durations or any(_touched(f"{path}.{key}.", chosen) for key in durations):
        return value
    names.append(path)
    shorter = {key if key.endswith("steps") else twin(key): steps * share for key, steps in durations.items()}
    hold = max(1, int(shorter.get("hold_steps", 1)))  # a ramp that is renewed every so often ends with a renewal
    rest = {key: v for key, v in value.items() if key not in durations}
    return rest | {key: max(1, int(steps / hold)) * hold for key, steps in shorter.items()}


def _touched(path: str, chosen: list[str]) -> bool:
    return any(path.startswith(key) or key.startswith(path) for key in chosen)
