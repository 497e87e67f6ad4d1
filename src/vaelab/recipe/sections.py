"""The sections of a recipe: what may stand in each."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import Discriminator, Tag

from vaelab.errors import shown
from vaelab.registry import Role, Seed, Size, hint
from vaelab.registry.schema import check, check_part
from vaelab.training.options import Best, TrainOptions

SECTIONS = ("paper", "expect", "altered", "data", "model", "objective", "train", "evaluate", "best", "track")


# One size, or those of the levels of a hierarchy, the top level first.
Levels = Annotated[
    Annotated[Size, Tag("")] | Annotated[tuple[Size, ...], MinLen(1), Tag("[]")],
    Discriminator(lambda given: "[]" if isinstance(given, list) else ""),
]


def as_levels(given: Any) -> tuple[Any, ...]:
    """One size as the only level."""
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def model_options(
    *,
    latent_dim: Levels,
    backbone: Annotated[Any, Role("backbone")],
    posterior: Annotated[Any, Role("posterior")] = "gaussian",
    prior: Annotated[Any, Role("prior")] = "normal",
    likelihood: Annotated[Any, Role("likelihood")] = "bernoulli",
    condition: tuple[Literal["encoder", "decoder", "prior"], ...] = (),
    output_bias: Literal["random", "data"] = "random",
) -> None:
    """The `model` section: the parts of a VAE, and what joins them.

    - `latent_dim`: how many latents; of a hierarchy [top, …, bottom];
    - `backbone`: the networks of encoder and decoder;
    - `posterior`: q(z | x);
    - `prior`: p(z);
    - `likelihood`: p(x | z);
    - `condition`: what sees the class of an image;
    - `output_bias`: where the decoder's last bias begins, at the mean of the images with data.
    """


def evaluate_options(
    *,
    metrics: list[Any],
    every: Size = 1,
    n: Size | None = None,
    sampler: Annotated[Any, Role("sampler")] = "prior",
    pixels: Literal["mean", "sample"] | None = None,
    seed: Seed = 0,
) -> None:
    """The `evaluate` section: what is measured of the validation images while training.

    - `metrics`: names, or names with options: {kind: frechet, pca_dim: 64};
    - `every`: epochs between two measurements; the last epoch is measured as well;
    - `n`: samples to judge; as many as there are validation images unless given;
    - `sampler`: of the latents of these samples;
    - `pixels`: of p(x | z), its mean or a draw; draws where images are binarised, else means;
    - `seed`: of the samples.
    """


OPTIONS = {"model": model_options, "train": TrainOptions, "evaluate": evaluate_options, "best": Best}


def altered(options: Mapping[str, Any], by: list[str]) -> dict[str, Any]:
    """The overrides so far, the last of each key, and how long the recipe's own run is."""
    before = options["altered"] if _is_note(options.get("altered")) else {"by": []}
    length, own = ({k: given[k] for k in ("epochs", "steps") if k in given} for given in (before, train_of(options)))
    last = {text.partition("=")[0]: text for text in [*before["by"], *by]}
    return (length or own) | {"by": list(last.values())}


def train_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """A right `train` section; an empty one in place of another."""
    return {} if check(TrainOptions, options.get("train"), "train") else options["train"]


def problems_of_sections(options: Mapping[str, Any]) -> list[str]:
    """Every problem of a recipe, but for those of who follows its training."""
    problems = [f"{key}: unknown section; {hint(str(key), list(SECTIONS))}" for key in options if key not in SECTIONS]
    problems += [
        f"{key}: expected a mapping, got {shown(options[key])}"
        for key in ("paper", "expect")
        if not _maps(options, key)
    ]
    if "altered" in options and not _is_note(options["altered"]):
        problems.append(
            f"altered: expected what a run notes of overrides, got {shown(options['altered'])}; leave it out"
        )
    if _maps(options, "expect"):
        bars = {str(name): bar for name, bar in options.get("expect", {}).items() if not _is_bar(bar)}
        problems += [
            f"expect.{k}: expected numbers as at_most, at_least or value, tolerance; got {shown(v)}"
            for k, v in bars.items()
        ]
    for section in ("data", "model", "objective", "train"):
        if section not in options:
            problems.append(f"the section {section} is missing; give it")
        elif section in ("data", "objective"):
            problems += check_part(section, options[section], section)
        else:
            problems += check(model_options if section == "model" else TrainOptions, options[section], section)
    return problems + _watched_problems(options)


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


def _is_note(altered: Any) -> bool:
    if not isinstance(altered, Mapping) or not isinstance(altered.get("by"), list):
        return False
    lengths = [altered[k] for k in ("epochs", "steps") if k in altered]
    return all(isinstance(text, str) for text in altered["by"]) and all(isinstance(n, int | float) for n in lengths)


def _maps(options: Mapping[str, Any], key: str) -> bool:
    return isinstance(options.get(key, {}), Mapping)
