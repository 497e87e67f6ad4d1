"""A part's signature as the strict schema of what a recipe may say of it: read, checked and built.

All that is wrong is told at once, each problem as a sentence that begins with its dotted path.
"""

import functools
import inspect
import json
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from vaelab.errors import Problems, UnknownPart, UsageError, shown
from vaelab.registry import Role, hint, names, part, refuse_foreign

LONGEST = 1e9  # epochs
SLACK = 1e-6  # of a step, by which a product of decimal fractions is off
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Part:
    """A part as a recipe names it: its kind, and the options that are given for it."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> "Part | None":
        """The part that is meant by its kind alone, {kind: …, …} or a number, the value of a constant."""
        if isinstance(given, Part):
            return given
        if isinstance(given, str):
            return cls(given)
        if isinstance(given, int | float) and not isinstance(given, bool):
            return cls("constant", {"value": given})
        if isinstance(given, Mapping) and isinstance(kind := given.get("kind"), str):
            return cls(kind, {k: v for k, v in given.items() if k != "kind"})
        return None

    def as_mapping(self) -> dict[str, Any]:
        """{kind: …, …}, as a recipe holds it."""
        return {"kind": self.kind} | {k: v.as_mapping() if isinstance(v, Part) else v for k, v in self.options.items()}

    def __str__(self) -> str:
        """`swanlab mode=local`, as it is typed."""
        return shlex.join([self.kind, *(f"{k}={v}" for k, v in sorted(self.options.items()))])


@dataclass(frozen=True)
class ReadBy:
    """Marks an option that has a reader of its own: `read(given, where, problems)`, as `parse_part` is one."""

    read: Callable[[Any, str, list[str]], Any]


def options(thing: Callable) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a part: what a recipe may set."""
    signature = inspect.signature(thing, eval_str=True)
    return {k: p for k, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}


def defaults(thing: Callable) -> dict[str, Any]:
    """The options that need not be given, with their values."""
    return {k: p.default for k, p in options(thing).items() if p.default is not p.empty}


def role_of(annotation: Any) -> Role | None:
    """The role of an option that is itself a part, also where it may be None."""
    inside = () if get_origin(annotation) in (tuple, list) else get_args(annotation)
    marks = (mark for a in (annotation, *inside) for mark in getattr(a, "__metadata__", ()))
    return next((mark for mark in marks if isinstance(mark, Role)), None)


def check_part(role: str, given: Any, where: str) -> list[str]:
    """Every problem of one part in a recipe."""
    parse_part(role, given, where, problems := [])
    return problems


def parse_part(role: str, given: Any, where: str, problems: list[str]) -> Part:
    """The part that is given, its options in their types; `problems` gets whatever is wrong."""
    found, known = Part.of(given), names(role)
    if found is None or (isinstance(given, int | float) and "constant" not in known):
        problems.append(f"{where}: expected {{kind: NAME, …}} with NAME one of {', '.join(known)}; got {shown(given)}")
        return Part("")
    if found.kind not in known:
        near = hint(found.kind, known)
        problems.append(UnknownPart(f"{where}.kind: unknown {role} {shown(found.kind)}; {near}"))
        return found
    return Part(found.kind, parse(part(role, found.kind), found.options, where, problems))


def parse_parts(role: str, given: Any, where: str, problems: list[str]) -> tuple[Part, ...]:
    """A part, or a list of parts."""
    several = given if isinstance(given, list | tuple) else [given]
    return tuple(parse_part(role, one, f"{where}[{i}]", problems) for i, one in enumerate(several))


def parse_section(section: Callable, given: Any, where: str, problems: list[str]) -> Any:
    """An object made of the options given for it."""
    chosen = parse(section, given, where, found := [])
    try:
        made = None if found else section(**chosen)
    except ValueError as error:  # two options that contradict each other
        made, found = None, [f"{where}: {error}"]
    problems += found
    return made


def parse(thing: Callable, given: Any, where: str, problems: list[str]) -> dict[str, Any]:
    """The options given for `thing` in their types; `problems` gets whatever is wrong.

    Parts and sections among them are read as such; durations in epochs stay until `resolve` knows how long one is.
    """
    if not isinstance(given, Mapping):
        problems.append(f"{where}: expected options as `name: value`, got {shown(given)}")
        return {}
    known, plain, found = options(thing), {str(k): v for k, v in given.items()}, {}
    for key, steps in _in_epochs(plain, known):
        found[key] = epochs = plain.pop(key)
        if steps in plain:
            problems.append(f"{where}: give {steps} or {key}, not both")
        elif not isinstance(epochs, int | float) or isinstance(epochs, bool) or not 0 <= epochs <= LONGEST:
            problems.append(f"{where}.{key}: expected a number of epochs, 0 to a billion; got {shown(epochs)}")
    in_steps = {steps: 1 for _, steps in _in_epochs(found, known) if steps not in plain}  # stand in for the epochs
    for key, read in _readers(thing).items():
        if key in plain and (plain[key], known[key].default) != (None, None):
            found[key] = read(plain.pop(key), f"{where}.{key}".removeprefix("."), problems)
    text = json.dumps(plain | in_steps | dict.fromkeys(found.keys() & known.keys()), default=repr)
    try:  # through JSON, because pydantic's strict mode takes a list for a tuple only there
        validated = _model(thing).model_validate_json(text)
    except ValidationError as error:
        problems += [_sentence(e, where, known) for e in error.errors()]
        return found
    return {key: getattr(validated, key) for key in plain} | found


def build(role: str, given: Any, where: str = "", **supplied: Any) -> Any:
    """Build the part that is given.

    `supplied` holds what only the program knows; each part takes those values that its signature names before the
    star. Durations in epochs become steps with `supplied["steps_per_epoch"]`.
    """
    where = where or role
    chosen = parse_part(role, given, where, problems := [])
    if problems:
        raise Problems(problems, "the recipe has these problems")
    thing = part(role, chosen.kind)
    made = resolve(thing, chosen.options, where, **supplied)
    asked = {k: p for k, p in inspect.signature(thing).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    if unknown := [name for name, p in asked.items() if p.default is p.empty and name not in supplied]:
        raise UsageError(
            f"{where}: {role} {shown(chosen.kind)} takes {unknown[0]!r} before the star, where the program gives "
            f"{', '.join(sorted(supplied))}; name one of these, or put what a recipe sets after the star"
        )
    try:
        built = thing(**{k: supplied[k] for k in asked if k in supplied}, **made)
    except ValueError as error:  # two options that contradict each other
        raise UsageError(f"{where}: {error}") from error
    refuse_foreign(role, chosen.kind, built)
    return built


def resolve(thing: Callable, chosen: Mapping[str, Any], where: str, **supplied: Any) -> dict[str, Any]:
    """Options from `parse` as arguments of `thing`: epochs as steps, parts as objects."""
    known = options(thing)
    inner = {key: role for key, p in known.items() if (role := role_of(p.annotation))}
    made = {key: known[key].default for key in inner if isinstance(known[key].default, str)} | dict(chosen)
    for key, steps in _in_epochs(chosen, known):
        if "steps_per_epoch" not in supplied:
            raise UsageError(f"{where}.{key}: the length of an epoch is not known here; give {steps}")
        length = made.pop(key) * supplied["steps_per_epoch"]
        made[steps] = math.ceil(length - SLACK) if length >= 0.5 else 0  # the last batch of an epoch is in it
        try:
            TypeAdapter(known[steps].annotation).validate_python(made[steps])
        except ValidationError as error:
            why = f"{made[steps]:,} steps are too many; give fewer" if made[steps] else "less than a step; give more"
            raise UsageError(f"{where}.{key}: {why}") from error
    for key, role in inner.items():
        if made.get(key) is not None:
            sizes = {"latent_dim": supplied[role.latent_dim]} if role.latent_dim in supplied else {}
            made[key] = build(role.name, made[key], f"{where}.{key}", **supplied | sizes)
    return made


def twin(key: str) -> str:
    """The other name of a duration, `delay_epochs` of `delay_steps` and back; "" of what is none."""
    for unit, other in (("steps", "epochs"), ("epochs", "steps")):
        if key.endswith(unit):
            return f"{key.removesuffix(unit)}{other}"
    return ""


def _in_epochs(given: Mapping[str, Any], known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The keys that give a duration in epochs, each with the option in steps that it stands for."""
    return [(k, twin(k)) for k in given if k.endswith("epochs") and k not in known and twin(k) in known]


@functools.lru_cache(maxsize=256)
def _readers(thing: Callable) -> dict[str, Callable[[Any, str, list[str]], Any]]:
    """By option, what reads it where it is a part, several parts or a section."""
    found = {}
    for key, parameter in options(thing).items():
        annotation = parameter.annotation
        own = [mark.read for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, ReadBy)]
        each = get_args(annotation)[0] if get_origin(annotation) is tuple else None
        if own:
            found[key] = own[0]
        elif role := role_of(annotation):
            found[key] = functools.partial(parse_part, role.name)
        elif role := role_of(each):
            found[key] = functools.partial(parse_parts, role.name)
        elif isinstance(annotation, type) and is_dataclass(annotation):
            found[key] = functools.partial(parse_section, annotation)
    return found


@functools.lru_cache(maxsize=256)
def _model(thing: Callable) -> Any:
    """The strict pydantic model of a signature, but for what `_readers` reads."""
    fields: dict[str, Any] = {
        key: (
            Any if key in _readers(thing) or p.annotation is p.empty else p.annotation,
            ... if p.default is p.empty else p.default,
        )
        for key, p in options(thing).items()
    }
    return create_model(getattr(thing, "__name__", "options"), __config__=_STRICT, **fields)


def _sentence(error: Any, where: str, known: Mapping[str, Any]) -> str:
    """A problem that pydantic found; at the top of a recipe, `where` is empty and the options are its sections."""
    path = ".".join(str(p) for p in (where, *error["loc"]) if p not in ("", "[]"))
    if error["type"] == "extra_forbidden":
        near = hint(str(error["loc"][-1]), [*known, *(twin(k) for k in known if k.endswith("steps"))])
        return f"{path}: unknown {'option' if where else 'section'}; {near}"
    if error["type"] == "missing":
        return f"{path} is missing; give it a value" if where else f"the section {path} is missing; give it"
    message = re.sub(r"^\w+ should (be|have) |^Value error, | after validation.*", "", error["msg"])
    return f"{path}: expected {message}; got {shown(error['input'])}"
