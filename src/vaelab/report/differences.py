"""In what the recipes of several runs differ, and nothing else."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vaelab.recipe.identity import identity
from vaelab.runs.folder import RunFolder
from vaelab.runs.recipe import DEFAULTS

PARTS = ("data", "objective", *(f"model.{role}" for role in ("backbone", "posterior", "prior", "likelihood")))


def differences(runs: Sequence[RunFolder]) -> list[tuple[str, list[str]]]:
    """A dotted key and its value in each run, for each key in which they differ; a dash where a run leaves it out."""
    options = [_explicit(run.recipe.sections) for run in runs]
    plain = {key for tree in options for key in _flat(tree)}
    trees = [_flat(tree, whole=plain) for tree in options]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    rows = [(key, [_text(tree.get(key, "–")) for tree in trees]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _explicit(options: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that are trained, each part of the model named."""
    kept = identity(options)
    return kept | ({"model": {**kept["model"], **_unnamed(kept["model"])}} if "model" in kept else {})


def _unnamed(model: Mapping[str, Any]) -> dict[str, str]:
    return {role: kind for role, kind in DEFAULTS.items() if role not in model}


def _flat(tree: Mapping[str, Any], above: str = "", whole: Collection[str] = ()) -> dict[str, Any]:
    """Nested names joined with dots; a part given in short is its kind, and what is in `whole` stays in one."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and name not in whole:
            flat |= _flat(value, f"{name}.", whole)
        else:
            flat[f"{name}.kind" if _is_part(name, value) else name] = value
    return flat


def _is_part(name: str, value: Any) -> bool:
    return isinstance(value, str) and name in PARTS


def _text(value: Any) -> str:
    """`16, 32` of a list, `linear, epochs 1` of a part with options."""
    if isinstance(value, Mapping):
        options = [f"{key} {_text(value[key])}" for key in sorted(value) if key != "kind"]
        return ", ".join([*([str(value["kind"])] if "kind" in value else []), *options])
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
