"""Which trackers a recipe or a command asks for."""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from vaelab.errors import UsageError
from vaelab.recipe.text import with_overrides
from vaelab.registry.schema import check_part

Spec = str | Mapping[str, Any]  # "tensorboard", or {"kind": "swanlab", "mode": "local"}


def specs_of(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `track` section of a recipe: a name, a part with options, or a list of such."""
    section = options.get("track", [])
    asked = section if isinstance(section, list) else [section]
    return [{"kind": spec} if isinstance(spec, str) else spec for spec in asked]


def problems_of(options: Mapping[str, Any]) -> list[str]:
    """Every problem of the `track` section."""
    specs = specs_of(options)
    found = [problem for i, spec in enumerate(specs) for problem in check_part("tracker", spec, f"track[{i}]")]
    named = [name_of(spec) for spec in specs] if not found else []
    if twice := [name for i, name in enumerate(named) if name in named[:i]]:
        found.append(f"track: {twice[0]} stands twice; leave one out")
    return found


def parsed(text: str) -> dict[str, Any]:
    """`swanlab mode=local` as a part with options; UsageError where a quotation has no end."""
    try:
        name, *options = shlex.split(text) or [""]
    except ValueError as error:
        raise UsageError(f"tracker {text!r}: {str(error).lower()}; write it like 'swanlab mode=local'") from error
    return with_overrides({"kind": name}, options)


def override(options: Mapping[str, Any], asked: Iterable[Spec]) -> list[str]:
    """What is asked for beside the recipe's `track` section, as an override of it; a kind is tracked once."""
    new = [parsed(spec) if isinstance(spec, str) else dict(spec) for spec in asked]
    kinds = [spec.get("kind") for spec in new]
    old = [spec for spec in specs_of(options) if not isinstance(spec, Mapping) or spec.get("kind") not in kinds]
    return [f"track={json.dumps([*old, *new])}"] if new else []


def name_of(spec: Mapping[str, Any]) -> str:
    """A tracker's kind and options as `parsed` takes them, by which it is known again."""
    return shlex.join([spec["kind"], *(f"{k}={v}" for k, v in sorted(spec.items()) if k != "kind")])
