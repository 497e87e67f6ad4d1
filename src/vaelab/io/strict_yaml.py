"""YAML in which nothing is guessed, read as plain data."""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from vaelab.errors import UsageError

LARGEST = 2**20  # characters of a recipe, with each alias written out


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, a date is text, a key stands once, and aliases do not grow without bound."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _written_out(node, {}) > LARGEST:
            problem = f"written out it would be more than {LARGEST:,} characters; use fewer aliases"
            raise yaml.MarkedYAMLError(problem=problem)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(
                problem=f"key {twice[0]!r} stands twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


def _written_out(node: yaml.Node, known: dict[int, float]) -> float:
    """About how many characters there are once each alias is replaced by what it stands for."""
    if id(node) not in known:
        known[id(node)] = math.inf  # of what holds itself
        inside = node.value if isinstance(node.value, list) else []
        parts = [part for entry in inside for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_written_out(part, known) for part in parts) + len(node.value) * (not inside)
    return known[id(node)]


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
    except Exception as error:  # the parser's own, and whatever a tag like !!timestamp makes of odd text
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(f"{what}{line} is not readable as YAML: {problem}; mend it there") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The sections of a recipe file."""
    try:
        options = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path} ({error}); name a recipe in YAML") from error
    if not isinstance(options, dict):
        raise UsageError(f"{path} holds no recipe; it needs the sections data, model and train")
    return options
