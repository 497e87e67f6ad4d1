"""A recipe is a page of data; this file turns it into objects, and nothing else builds."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Annotated, Any

import torch
import yaml

from vaelab.data.source import Dataset
from vaelab.errors import UsageError, listed
from vaelab.model import VAE
from vaelab.registry import Part, Size, build, check, check_part, defaults, hint, resolve
from vaelab.train.engine import steps_per_epoch
from vaelab.train.options import TrainOptions
from vaelab.train.randomness import seed_of

SECTIONS = ("extends", "paper", "expect", "data", "model", "objective", "train")
_PACKAGE = Path(__file__).parent
SHIPPED = next((p for p in (_PACKAGE / "recipes", _PACKAGE.parents[1] / "recipes") if p.is_dir()), _PACKAGE / "recipes")


def model_options(
    *,
    latent_dim: Size,
    backbone: Annotated[Any, Part("backbone")],
    posterior: Annotated[Any, Part("posterior")] = "gaussian",
    prior: Annotated[Any, Part("prior")] = "normal",
    likelihood: Annotated[Any, Part("likelihood")] = "bernoulli",
) -> None:
    """The `model` section; its signature is all that is used."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: `name`, and `options` by section."""

    name: str
    options: dict[str, Any]

    @classmethod
    def read(cls, name: str, overrides: Iterable[str] = ()) -> "Recipe":
        """A shipped recipe or a file, with `dotted.key=value` overrides; UsageError lists all that is wrong."""
        path = find(name)
        options = _extended(read_yaml(path), path)
        made = options.pop("made", {})
        stem = made.get("name", path.stem) if isinstance(made, Mapping) else path.stem
        return cls(str(stem), options).overridden(overrides)

    def overridden(self, overrides: Iterable[str]) -> "Recipe":
        """This recipe with `dotted.key=value` overrides."""
        options = self.options
        for text in _kinds_first(overrides):
            options = merged(options, parse_override(text))
        return Recipe(self.name, options).checked()

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe in a model's metadata."""
        stored = json.loads(text)
        return cls(stored["name"], stored["options"]).checked()

    def to_json(self) -> str:
        """One line of text from which `from_json` makes the same recipe."""
        return json.dumps({"name": self.name, "options": self.options})

    def checked(self) -> "Recipe":
        """The recipe itself, or a UsageError with every problem in it."""
        if problems := _problems(self.options):
            raise UsageError(listed(problems, f"recipe {self.name!r} has these problems"))
        return self

    def load_data(self, directory: Path | str | None = None) -> Dataset:
        """The recipe's images."""
        return build("data", self.options["data"]).load(directory)

    def build_model(self, x_shape: tuple[int, int, int]) -> VAE:
        """A new model for images of a shape, initialised by the recipe's seed."""
        torch.manual_seed(seed_of("init", self.options.get("train", {}).get("seed", 0), 0, 0))
        given = defaults(model_options) | self.options["model"]
        sizes = {"x_shape": x_shape, "latent_dim": given["latent_dim"]}
        likelihood = build("likelihood", given["likelihood"], "model.likelihood", **sizes)
        out_channels = likelihood.params_per_channel * x_shape[0]
        encoder, decoder = build("backbone", given["backbone"], "model.backbone", out_channels=out_channels, **sizes)
        posterior = build("posterior", given["posterior"], "model.posterior", encoder=encoder, **sizes)
        prior = build("prior", given["prior"], "model.prior", **sizes)
        return VAE(prior, posterior, decoder, likelihood)

    def build_training(self, data: Dataset, processes: int = 1) -> tuple[Any, TrainOptions]:
        """The objective and the train options, with every duration in steps."""
        given = self.options["train"]
        batch_size = given.get("batch_size", TrainOptions.batch_size)
        per_epoch = steps_per_epoch(len(data.train), batch_size, processes)
        try:
            train = TrainOptions(**resolve(TrainOptions, given, "train", steps_per_epoch=per_epoch))
        except ValueError as error:
            raise UsageError(f"train: {error}") from error
        pixels = data.train.images[0].numel()
        objective = build("objective", self.options["objective"], steps_per_epoch=per_epoch, pixels=pixels)
        if (settled := getattr(objective, "settled", 0)) > train.steps:
            raise UsageError(
                f"objective: its schedules end at epoch {settled / per_epoch:g}, but the run has "
                f"{train.steps / per_epoch:g} epochs; shorten them, for example with objective.beta.epochs="
                f"{train.steps / per_epoch:g}, or train longer"
            )
        return objective, train


def find(name: str) -> Path:
    """The file of a recipe: a path, a run folder, or a shipped name."""
    path = Path(name)
    if _there(path / "recipe.yaml"):
        return path / "recipe.yaml"
    if _there(path):
        return path
    shipped = SHIPPED / f"{name}.yaml"
    if path.suffix not in (".yaml", ".yml") and path.name == name and _there(shipped):
        return shipped
    raise UsageError(
        f"no recipe {name!r}: no such file, and no shipped recipe of that name; {hint(name, shipped_names())}"
    )


def shipped_names() -> list[str]:
    """The recipes that come with vaelab."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, a date is text, and a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(
                problem=f"key {twice[0]!r} stands twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":timestamp", ":float"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse_yaml(text: str, what: str) -> Any:
    """Text as data; `what` names it in the error."""
    try:
        loaded = yaml.load(text, _Loader)  # a SafeLoader
        json.dumps(loaded)  # refuses what holds itself, and what is no plain data
        return loaded
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{what}{line} is not readable as YAML: {problem}; mend it there") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The sections of a recipe file."""
    try:
        options = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path} ({error}); name a recipe in YAML") from error
    if not isinstance(options, dict):
        raise UsageError(f"{path} holds no recipe; it needs the sections data, model, objective and train")
    return options


def parse_override(text: str) -> dict[str, Any]:
    """`train.lr=1e-4` as nested data."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise UsageError(f"override {text!r} is not of the form key.key=value, for example train.epochs=5")
    nested = parse_yaml(value, f"override {text!r}")
    for name in reversed(key.split(".")):
        nested = {name: nested}
    return nested


def merged(base: Any, over: Any) -> Any:
    """`over` laid on `base`: sections merge, another kind drops the old one's options, epochs replace steps."""
    base = {"kind": base} if isinstance(base, str) else base  # as `normalise` does
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    if "kind" in over and over["kind"] != base.get("kind"):
        return over
    twins = {_twin(key) for key in over if isinstance(key, str)} - set(over)
    kept = {key: value for key, value in base.items() if key not in twins}
    return kept | {key: merged(kept[key], value) if key in kept else value for key, value in over.items()}


def load_plugin(path: str) -> None:
    """Run a Python file, so that the parts in it are registered."""
    spec = util.spec_from_file_location(f"vaelab_plugin_{Path(path).stem}", path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise UsageError(f"no plugin {path!r}; --plugin takes a Python file that registers parts")
    module = sys.modules[spec.name] = util.module_from_spec(spec)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"plugin {path} fails when imported: {type(error).__name__}: {error}; mend it") from error


def _there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _twin(key: str) -> str:
    """The other way to give the same duration."""
    if key.endswith("steps"):
        return f"{key.removesuffix('steps')}epochs"
    return f"{key.removesuffix('epochs')}steps" if key.endswith("epochs") else ""


def _kinds_first(overrides: Iterable[str]) -> list[str]:
    """A new kind drops options, so it must come before the options that it is given."""
    return sorted(overrides, key=lambda text: not text.partition("=")[0].endswith("kind"))


def _extended(options: dict[str, Any], path: Path) -> dict[str, Any]:
    """The recipe laid on the one that it extends."""
    name = options.pop("extends", None)
    if name is None:
        return options
    if not isinstance(name, str):
        raise UsageError(f"extends: expected the name of a recipe, got {name!r}")
    beside = path.parent / f"{name}.yaml"
    base = read_yaml(beside if _there(beside) else find(name))
    if "extends" in base:
        raise UsageError(f"extends: {name!r} extends {base['extends']!r} itself; extend that one, one level is allowed")
    return merged({k: v for k, v in base.items() if k not in ("paper", "expect")}, options)


def _problems(options: Mapping[str, Any]) -> list[str]:
    known = [s for s in SECTIONS if s != "extends"]
    problems = [f"{key}: unknown section; {hint(str(key), known)}" for key in options if key not in known]
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
    return problems


def _is_bar(bar: Any) -> bool:
    numbers = (
        [bar[k] for k in ("at_most", "at_least", "value", "tolerance") if k in bar] if isinstance(bar, Mapping) else []
    )
    return bool(numbers) and all(isinstance(n, int | float) for n in numbers)


def _maps(options: Mapping[str, Any], key: str) -> bool:
    return isinstance(options.get(key, {}), Mapping)
