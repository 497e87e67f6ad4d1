"""Completion of words in a shell, from files alone: no part is imported, so the answer comes at once."""

import ast
import re
from collections.abc import Callable, Iterable
from functools import cache
from glob import escape, glob
from pathlib import Path

import typer

from vaelab.io.places import shipped_names

PACKAGE = Path(__file__).parents[1]
PART = re.compile(r'^@register\(\s*"(\w+)",\s*"(\w+)"', re.MULTILINE)
# The keys of a recipe that name a part, with its role.
PARTS = {"data": "data", "objective": "objective"} | {
    f"model.{role}": role for role in ("backbone", "posterior", "prior", "likelihood")
}
LENGTH = "train.epochs"  # in place of train.steps


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, files of recipes, and runs, which can be resumed."""
    return [*_beginning(shipped_names(), incomplete), *_paths(f"{escape(incomplete)}*.yaml"), *runs(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Run folders where the word leads, or a folder below."""
    start = escape(incomplete)
    places = (f"{start}*", f"{start}*/*")
    return sorted({str(Path(path).parent) for place in places for path in _paths(f"{place}/recipe.yaml")})


def overrides(incomplete: str) -> list[str]:
    """The keys of a recipe's main options, and behind = the names of parts."""
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={kind}" for kind in _beginning(parts().get(PARTS.get(key, ""), []), value)]
    options = (f"train.{name}" for name in fields("training/options.py", "TrainOptions"))
    return [f"{name}=" for name in _beginning([*PARTS, *options, LENGTH, "model.latent_dim"], key)]


def roles(incomplete: str) -> list[str]:
    """What can be listed: the roles of parts, the sections that are none, and the recipes."""
    return _beginning([*parts(), "recipes", "model", "train", "evaluate", "best"], incomplete)


def kinds(context: typer.Context, incomplete: str) -> list[str]:
    """The parts of the role that stands before."""
    return _beginning(parts().get(context.params.get("role") or "", []), incomplete)


def names_of(role: str) -> Callable[[str], list[str]]:
    """Completion by the parts of a role, also behind commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in _beginning(parts()[role], last)]

    return complete


COMPLETIONS: dict[str, Callable] = {  # by the parameters of commands, which have one meaning each
    **dict.fromkeys(("run", "runs", "sets", "words"), runs),
    "recipe": recipes,
    "overrides": overrides,
    "role": roles,
    "kind": kinds,
    "name": names_of("data"),
    "only": names_of("figure"),
    "metrics": names_of("metric"),
    "sampler": names_of("sampler"),
    "extractor": names_of("extractor"),
    **dict.fromkeys(("to", "track"), names_of("tracker")),
}


@cache
def parts() -> dict[str, list[str]]:
    """The names that are registered for each role, as the files of the package say."""
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for role, name in PART.findall(path.read_text(encoding="utf-8")):
            found.setdefault(role, []).append(name)
    return found


def fields(file: str, section: str) -> list[str]:
    """The options of a class, in a file of the package."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == section]
    return [n.target.id for n in found.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]


def _paths(pattern: str) -> list[str]:
    return glob(pattern)  # noqa: PTH207  # Path's takes no absolute pattern


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return sorted(word for word in words if word.startswith(incomplete))
