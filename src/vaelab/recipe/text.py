"""Recipes as text: found by name, read as strict YAML, extended, and overridden by dotted keys."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaelab.errors import ComposedByHand, UsageError, shown
from vaelab.io.files import expanded
from vaelab.io.places import SHIPPED, shipped_names
from vaelab.io.strict_yaml import parse_yaml, read_yaml
from vaelab.registry import hint
from vaelab.registry.schema import Part, twin


def read_recipe(path: Path) -> tuple[str, dict[str, Any], list[Any]]:
    """The name and the sections of a recipe's file, unchecked, and what plugins a run's has noted."""
    options = _extended(read_yaml(path), path)
    made = options.pop("made", {})
    made = made if isinstance(made, Mapping) else {}
    if made.get("composed"):
        raise ComposedByHand(path.parent)
    return str(made.get("name", path.stem)), options, made.get("plugins", [])


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """The sections as YAML would give them: lists for tuples, and texts for what is no data."""
    try:
        return json.loads(json.dumps(options, default=lambda v: v.as_mapping() if isinstance(v, Part) else str(v)))
    except (TypeError, ValueError) as error:
        raise UsageError(f"a recipe is plain data: {error}; give mappings, lists, texts and numbers") from error


def with_overrides(options: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """The sections with `dotted.key=value` overrides; a new kind drops options, so they come first."""
    given = dict(options)
    for text in sorted(overrides, key=_rank):
        given = merged(given, parse_override(text))
    return given


def as_texts(overrides: Iterable[str | Mapping[str, Any]]) -> tuple[str, ...]:
    """Overrides as `key=value`, of which some may be mappings: {"train.lr": 1e-4}."""
    texts = []
    for override in overrides:
        if not isinstance(override, str | Mapping):
            raise UsageError(f"override {shown(override)} is neither 'train.epochs=5' nor {{'train.epochs': 5}}")
        pairs = override.items() if isinstance(override, Mapping) else ()
        texts += [override] if isinstance(override, str) else [f"{k}={json.dumps(v, default=str)}" for k, v in pairs]
    return tuple(texts)


def find(name: str | Path) -> Path:
    """The file of a recipe: a path, a run folder, or a shipped name."""
    path, name = expanded(name), str(name)
    if _there(path / "recipe.yaml"):
        return path / "recipe.yaml"
    if _there(path):
        return path
    shipped = SHIPPED / f"{name}.yaml"
    if path.suffix not in (".yaml", ".yml") and path.name == name and _there(shipped):
        return shipped
    raise UsageError(
        f"no recipe {shown(name)}: no such file, and no shipped recipe of that name; {hint(name, shipped_names())}"
    )


def parse_override(text: str) -> dict[str, Any]:
    """`train.lr=1e-4` as nested data."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise UsageError(f"override {shown(text)} is not of the form key.key=value, for example train.epochs=5")
    nested = parse_yaml(value, f"override {shown(text)}")
    for name in reversed(key.split(".")):
        nested = {name: nested}
    return nested


def merged(base: Any, over: Any) -> Any:
    """`over` laid on `base`: sections merge, another kind drops the old one's options, epochs replace steps."""
    base = {"kind": base} if isinstance(base, str) else base  # as `Part.of` does
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    if "kind" in over and over["kind"] != base.get("kind"):
        return over
    twins = {twin(key) for key in over if isinstance(key, str)} - set(over)
    kept = {key: value for key, value in base.items() if key not in twins}
    return kept | {key: merged(kept[key], value) if key in kept else value for key, value in over.items()}


def _rank(override: str) -> tuple[bool, int]:
    key = override.partition("=")[0]
    return not key.endswith("kind"), key.count(".")


def _there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _extended(options: dict[str, Any], path: Path) -> dict[str, Any]:
    """The recipe laid on the one that it extends."""
    name = options.pop("extends", None)
    if name is None:
        return options
    if not isinstance(name, str):
        raise UsageError(f"extends: expected the name of a recipe, got {shown(name)}")
    beside = path.parent / f"{name}.yaml"
    base = read_yaml(beside if _there(beside) else find(name))
    if "extends" in base:
        raise UsageError(
            f"extends: {shown(name)} extends {base['extends']!r} itself; extend that one, one level is allowed"
        )
    return merged({k: v for k, v in base.items() if k not in ("paper", "expect", "altered")}, options)
