"""A law takes its part as an argument named after the role, and is run for every registered part of that role.

Each part comes as a recipe would give it: with its defaults, then with each other value of its words and switches.
"""

from typing import Any, Literal, get_args, get_origin

import vaelab.recipe  # noqa: F401  # registers all parts
from vaelab.registry import names, options, part, roles

REQUIRED = {"steps": 20}  # what a part without a default is given
MORE = {  # further settings worth a law
    ("likelihood", "normal"): [{"sigma": 0.01}],
    ("likelihood", "laplace"): [{"scale": 0.01}],
    ("posterior", "gaussian"): [{"log_variance": [-4.0, 2.0]}],
    ("backbone", "conv"): [{"channels": [8], "width": 16}],
}


def pytest_generate_tests(metafunc: Any) -> None:
    for role in roles():
        if role in metafunc.fixturenames:
            metafunc.parametrize(role, _specs(role), ids=_label)


def _specs(role: str) -> list[dict]:
    return [spec for name in names(role) for spec in _variants(role, name)]


def _variants(role: str, name: str) -> list[dict]:
    known = options(part(role, name))
    given = {k: REQUIRED[k] for k, p in known.items() if p.default is p.empty}
    changes = [{k: v} for k, p in known.items() for v in _values(p.annotation) if v != p.default]
    return [{"kind": name, **given, **change} for change in ({}, *changes, *MORE.get((role, name), ()))]


def _values(annotation: Any) -> tuple:
    if annotation is bool:
        return False, True
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _label(spec: dict) -> str:
    return "-".join([spec["kind"], *(f"{k}={v}" for k, v in spec.items() if k not in ("kind", *REQUIRED))])
