"""A part's signature as the strict schema of what a recipe may say of it: checked, and built.

All that is wrong is told at once, each problem as a sentence that begins with its dotted path.
"""

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import ConfigDict, ValidationError, create_model

from vaelab.errors import Problems, UnknownPart, UsageError, shown
from vaelab.registry import Role, hint, names, part

_PLAIN = inspect.Parameter.POSITIONAL_OR_KEYWORD
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def options(thing: Callable) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a part: what a recipe may set."""
    signature = inspect.signature(thing, eval_str=True)
    return {k: p for k, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}


def defaults(thing: Callable) -> dict[str, Any]:
    """The options that need not be given, with their values."""
    return {k: p.default for k, p in options(thing).items() if p.default is not p.empty}


def role_of(parameter: inspect.Parameter) -> str | None:
    """The role of an option that is itself a part, also where it may be None."""
    mark = _mark(parameter)
    return mark.name if mark else None


def _mark(parameter: inspect.Parameter) -> Role | None:
    candidates = (parameter.annotation, *get_args(parameter.annotation))
    return next((m for c in candidates for m in getattr(c, "__metadata__", ()) if isinstance(m, Role)), None)


def normalise(value: Any) -> Any:
    """`normal` stands for `{kind: normal}` and a number for `{kind: constant, value: number}`."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"kind": "constant", "value": value}
    return value


def check_part(role: str, value: Any, where: str) -> list[str]:
    """Every problem of one part in a recipe, each as a sentence that begins with its dotted path."""
    if isinstance(value, str) or "constant" in names(role):
        value = normalise(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        return [f"{where}: expected {{kind: NAME, …}} with NAME one of {', '.join(names(role))}; got {shown(value)}"]
    if value["kind"] not in names(role):
        near = hint(value["kind"], names(role))
        return [UnknownPart(f"{where}.kind: unknown {role} {shown(value['kind'])}; {near}")]
    return check(part(role, value["kind"]), {k: v for k, v in value.items() if k != "kind"}, where)


def check(thing: Callable, given: Any, where: str) -> list[str]:
    """Every problem of the options given for `thing` (see `check_part`)."""
    if not isinstance(given, Mapping):
        return [f"{where}: expected options as `name: value`, got {shown(given)}"]
    given, problems = {str(k): v for k, v in given.items()}, []
    known = options(thing)
    for key, steps in _in_epochs(given, known):
        value = given.pop(key)
        if steps in given:
            problems.append(f"{where}: give {steps} or {key}, not both")
        elif not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e9:
            problems.append(f"{where}.{key}: expected a number of epochs, 0 to a billion; got {shown(value)}")
        given.setdefault(steps, 1)
    for key, parameter in known.items():
        role = role_of(parameter)
        if role and key in given and (given[key], parameter.default) != (None, None):
            problems += check_part(role, given[key], f"{where}.{key}")
    try:
        _validate(thing, given)
    except ValidationError as error:
        problems += [_sentence(e, where, known) for e in error.errors()]
    return problems


def build(role: str, value: Any, where: str = "", **supplied: Any) -> Any:
    """Build the part that `value` describes.

    `supplied` holds what only the program knows; each part takes those values that its signature names before the
    star. Durations in epochs become steps with `supplied["steps_per_epoch"]`.
    """
    value, where = normalise(value), where or role
    if problems := check_part(role, value, where):
        raise Problems(problems, "the recipe has these problems")
    thing = part(role, value["kind"])
    chosen = resolve(thing, {k: v for k, v in value.items() if k != "kind"}, where, **supplied)
    _refuse_unsupplied(thing, supplied, f"{where}: {role} {shown(value['kind'])}")
    wanted = [k for k in inspect.signature(thing).parameters if k in supplied and k not in options(thing)]
    try:
        return thing(**{k: supplied[k] for k in wanted}, **chosen)
    except ValueError as error:  # two options that contradict each other
        raise UsageError(f"{where}: {error}") from error


def _refuse_unsupplied(thing: Callable, supplied: Mapping[str, Any], what: str) -> None:
    """UsageError where a part asks for what nobody gives it."""
    required = [k for k, p in inspect.signature(thing).parameters.items() if (p.kind, p.default) == (_PLAIN, p.empty)]
    if unknown := [name for name in required if name not in supplied]:
        raise UsageError(
            f"{what} takes {unknown[0]!r} before the star, where the program gives {', '.join(sorted(supplied))}; "
            "name one of these, or put what a recipe sets after the star"
        )


def resolve(thing: Callable, given: Mapping[str, Any], where: str, **supplied: Any) -> dict[str, Any]:
    """The options in their final types: epochs as steps, parts as objects; assumes that `check` found nothing."""
    known = options(thing)
    plain = {k: p.default for k, p in known.items() if role_of(p) and isinstance(p.default, str)} | dict(given)
    in_epochs = {steps: key for key, steps in _in_epochs(given, known)}
    for steps, key in in_epochs.items():
        if "steps_per_epoch" not in supplied:
            raise UsageError(f"{where}.{key}: the length of an epoch is not known here; give {steps}")
        plain[steps] = round(plain.pop(key) * supplied["steps_per_epoch"])
    nested = {k: plain.pop(k) for k in list(plain) if role_of(known[k]) and plain[k] is not None}
    try:
        validated = _validate(thing, plain | nested)
    except ValidationError as error:
        problems = [
            f"{where}.{in_epochs[e['loc'][0]]}: less than a step; give more"
            if e["loc"][0] in in_epochs and not e["input"]
            else _sentence(e, where, known)
            for e in error.errors()
        ]
        raise Problems(problems, "the recipe has these problems") from error
    chosen = {k: getattr(validated, k) for k in plain}
    for key, value in nested.items():
        mark = _mark(known[key])
        assert mark
        sizes = {"latent_dim": supplied[mark.latent_dim]} if mark.latent_dim in supplied else {}
        chosen[key] = build(mark.name, value, f"{where}.{key}", **supplied | sizes)
    return chosen


def _in_epochs(given: Mapping, known: Mapping) -> list[tuple[str, str]]:
    """The keys that give a duration in epochs, each with the option in steps that it stands for."""
    pairs = [(k, f"{k.removesuffix('epochs')}steps") for k in given if k.endswith("epochs") and k not in known]
    return [(key, steps) for key, steps in pairs if steps in known]


@functools.lru_cache(maxsize=256)
def _model(thing: Callable) -> Any:
    """The strict pydantic model of a signature; parts inside are checked by `check_part`."""
    fields: dict[str, Any] = {
        key: (
            Any if role_of(p) or p.annotation is p.empty else p.annotation,
            ... if p.default is p.empty else p.default,
        )
        for key, p in options(thing).items()
    }
    return create_model(getattr(thing, "__name__", "options"), __config__=_STRICT, **fields)


def _validate(thing: Callable, given: Mapping[str, Any]) -> Any:
    """Through JSON, because pydantic's strict mode takes a list for a tuple only there."""
    return _model(thing).model_validate_json(json.dumps(given, default=repr))


def _sentence(error: Any, where: str, known: Mapping) -> str:
    path = ".".join(str(p) for p in error["loc"] if p not in ("", "[]"))
    if error["type"] == "extra_forbidden":
        epochs = [f"{k.removesuffix('steps')}epochs" for k in known if k.endswith("steps")]
        return f"{where}.{path}: unknown option; {hint(path, [*known, *epochs])}"
    if error["type"] == "missing":
        return f"{where}.{path} is missing; give it a value"
    message = re.sub(r"^\w+ should (be|have) | after validation.*", "", error["msg"])
    return f"{where}.{path}: expected {message}; got {shown(error['input'])}"
