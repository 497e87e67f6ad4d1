"""In what the recipes of several runs differ, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from vaelab.evaluation.table import flat
from vaelab.recipe.identity import identity
from vaelab.runs.folder import RunFolder
from vaelab.runs.recipe import DEFAULTS

ROLES = ("backbone", "posterior", "prior", "likelihood")


def differences(runs: Sequence[RunFolder]) -> list[tuple[str, list[str]]]:
    """A dotted key and its value in each run, for each key in which they differ; a dash where a run leaves it out."""
    explicit = [_explicit(run.recipe.sections) for run in runs]
    single = {key for sections in explicit for key in flat(sections)}  # of which a part in another run stays in one
    trees = [flat(sections, whole=single) for sections in explicit]
    rows = [
        (key, [_text(tree.get(key, "–")) for tree in trees]) for key in dict.fromkeys(k for tree in trees for k in tree)
    ]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _explicit(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that are trained, each part of the model named, and each by its kind."""
    kept = identity(sections)
    if "model" in kept:
        kept["model"] = _with_kinds(DEFAULTS | kept["model"], ROLES)
    return _with_kinds(kept, ("data", "objective"))


def _with_kinds(parts: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    short = {key: {"kind": parts[key]} for key in keys if isinstance(parts.get(key), str)}
    return {**parts, **short}


def _text(value: Any) -> str:
    """`16, 32` of a list, `linear, epochs 1` of a part with options."""
    if isinstance(value, Mapping):
        options = [f"{key} {_text(value[key])}" for key in sorted(value) if key != "kind"]
        return ", ".join([*([str(value["kind"])] if "kind" in value else []), *options])
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
