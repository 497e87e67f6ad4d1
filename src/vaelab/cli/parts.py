"""A part or a section of a recipe in full: what it is, and each option with its type, its default and a sentence."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from typing_extensions import is_typeddict

import vaelab.recipe.recipe  # noqa: F401  # registers all parts
from vaelab.recipe.sections import Evaluate, Model
from vaelab.registry import part
from vaelab.registry.schema import options, role_of
from vaelab.schedules import Constant
from vaelab.training.options import Best, TrainOptions

SECTIONS = {"model": Model, "train": TrainOptions, "evaluate": Evaluate, "best": Best}
BULLET = re.compile(r"^- `(\w+)`: (.*?)[;.]?(?=\n- |\n\n|\Z)", re.MULTILINE | re.DOTALL)
WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Any: "any value"}
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
HUGE = 2**31  # bounds from which on they are the machine's, not the option's


def described_section(name: str) -> str:
    """The options of a section that is not itself a part: model, train, evaluate or best."""
    return _described(name, SECTIONS[name])


def described_part(role: str, kind: str) -> str:
    """A part with its whole docstring; UsageError for one that there is not."""
    return _described(f"{role} {kind}", part(role, kind))


def _described(title: str, thing: Callable) -> str:
    doc = inspect.getdoc(thing) or ""
    told = {name: " ".join(text.split()) for name, text in BULLET.findall(doc)}
    text = re.sub(r"\n{3,}", "\n\n", BULLET.sub("", doc)).strip()
    known = options(thing)
    width = max(map(len, known), default=0)
    rows = [line for name, p in known.items() for line in _option(name, p, told.get(name, ""), width)]
    return "\n".join([title, "", text, "", *(rows or ["It has no options."])])


def _option(name: str, parameter: inspect.Parameter, told: str, width: int) -> list[str]:
    """Name, type and default on one line; what it means, folded, below."""
    default = parameter.default
    kind = type_in_words(parameter.annotation)
    given = "must be given" if default is parameter.empty else f"default {written(default)}"
    indent = " " * (width + 4)
    columns = max(40, shutil.get_terminal_size().columns)
    head = textwrap.fill(f"{kind}; {given}", columns, initial_indent=f"  {name:<{width}}  ", subsequent_indent=indent)
    return [head, *textwrap.wrap(told, columns, initial_indent=indent, subsequent_indent=indent)]


def type_in_words(annotation: Any) -> str:
    """`whole number > 0` of Size, `relu | silu` of a choice, `list of …` of a tuple."""
    if role := role_of(annotation):
        return f"a {role.name} (vaelab list {role.name})"
    inside = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _bounded(type_in_words(inside[0]), annotation.__metadata__)
    if get_origin(annotation) is Literal:
        return " | ".join(str(value) for value in inside)
    if get_origin(annotation) in (tuple, list):
        count = "" if ... in inside or len(inside) == 1 else f" of {len(inside)}"
        return f"list{count}, each {type_in_words(inside[0])}"
    if inside:  # a union
        return " or ".join("null" if kind is type(None) else type_in_words(kind) for kind in inside)
    if is_typeddict(annotation):
        return f"{{{', '.join(annotation.__annotations__)}}}"
    return WORDS.get(annotation, str(getattr(annotation, "__name__", annotation)))


def _bounded(text: str, marks: tuple[Any, ...]) -> str:
    """The type with its bounds."""
    limits = [limit for mark in marks for limit in getattr(mark, "metadata", [mark])]
    signs = [
        f"{sign} {bound:g}"
        for limit in limits
        for key, sign in SIGNS.items()
        if isinstance(bound := getattr(limit, key, None), int | float) and bound < HUGE
    ]
    return f"{text} {', '.join(signs)}".rstrip()


def written(default: Any) -> str:
    """A default as a recipe writes it."""
    default = default.value if isinstance(default, Constant) else default
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return f"[{', '.join(map(str, default))}]" if isinstance(default, tuple) else str(default)
