"""A law takes its part as an argument named after the role, and is run for every registered part of that role.

Each part comes as a recipe would give it: with its defaults, then with each other value of its words and switches.
"""

from typing import Any, Literal, get_args, get_origin

import vaelab.recipe.recipe  # noqa: F401  # registers all parts
from vaelab.registry import names, part, roles
from vaelab.registry.schema import options

REQUIRED = {"steps": 20}  # what a part without a default is given
SMALL = {  # few components, and large networks with few channels, so that laws are quick
    ("prior", "flow"): {"flow": {"kind": "coupling", "layers": 2, "width": 8}},
    ("posterior", "flow"): {"flow": {"kind": "coupling", "layers": 2, "width": 8}},
    ("prior", "vamp"): {"components": 5},
    ("prior", "mixture"): {"components": 5},
    ("prior", "two_level"): {"width": 16, "log_variance": [-1.0, 1.0]},
    ("posterior", "two_level"): {"width": 16},
    ("posterior", "ladder"): {"width": 16},
    ("backbone", "progressive"): {"base_channels": 8, "min_channels": 4},
    ("backbone", "progressive_residual"): {"base_channels": 8, "min_channels": 4, "start_res": 8},
    ("prior", "exemplar"): {"components": 9, "per_step": 5},
    ("likelihood", "pixel"): {"maps": 1, "channels": 16, "layers": 3},
    ("backbone", "vampalign_conv"): {"channels": [8, 12, 16]},
    ("backbone", "vampalign_resnet"): {"width": 8},
    ("backbone", "resnet_attention"): {"channels": [8, 16]},
    **{("flow", kind): {"layers": 3, "width": 16} for kind in ("coupling", "spline", "maf", "iaf")},
    ("flow", "cross_attention"): {"layers": 2, "width": 16, "heads": 2, "tokens": 1},
}
BOUND = {("backbone", "hierarchical_conv"): ["decode"]}  # options that need another part beside them
MORE = {  # further settings worth a law
    ("likelihood", "normal"): [{"sigma": 0.01}],
    ("likelihood", "laplace"): [{"scale": 0.01}],
    ("likelihood", "logistic"): [{"grey_levels": levels} for levels in (4096, 65536)],  # which the program supplies
    ("likelihood", "pixel"): [{"base": "logistic", "maps": 2}],
    ("posterior", "flow"): [{"flow": {"kind": "iaf", "layers": 2, "width": 8, "context": 3}}],
    ("prior", "two_level"): [{"top": {"kind": "vamp", "components": 5}}, {"top": "mixture"}],
    ("prior", "ladder"): [{"top": {"kind": "vamp", "components": 5}}],
    ("posterior", "gaussian"): [{"log_variance": [-4.0, 2.0]}],
    ("backbone", "conv"): [{"channels": [8], "width": 16}],
    ("backbone", "resnet_attention"): [
        {"channels": [8]},
        {"channels": [8, 8, 16], "attend": False},
        {"channels": [8, 16], "upsample": "bilinear"},
    ],
    **{("flow", kind): [{"context": 3}] for kind in ("coupling", "spline", "maf", "iaf", "planar")},
    ("flow", "householder"): [{"context": 3}, {"reflections": 3}],
    ("flow", "sylvester"): [{"context": 3}, {"columns": 2, "reflections": 3}],
    ("flow", "cross_attention"): [{"context": 3}],
}


def pytest_generate_tests(metafunc: Any) -> None:
    for role in roles():
        if role in metafunc.fixturenames:
            metafunc.parametrize(role, _specs(role), ids=_label)


def _specs(role: str) -> list[dict]:
    """Of likelihoods only those that are some; losses in their place have tests of their own."""
    proper = [name for name in names(role) if role != "likelihood" or part(role, name).scores != "loss"]
    return [spec for name in proper for spec in _variants(role, name)]


def _variants(role: str, name: str) -> list[dict]:
    known = options(part(role, name))
    given = {k: REQUIRED[k] for k, p in known.items() if p.default is p.empty} | SMALL.get((role, name), {})
    free = {k: p for k, p in known.items() if k not in BOUND.get((role, name), ())}
    changes = [{k: v} for k, p in free.items() for v in _values(p.annotation) if v != p.default]
    return [{"kind": name, **given, **change} for change in ({}, *changes, *MORE.get((role, name), ()))]


def _values(annotation: Any) -> tuple:
    if annotation is bool:
        return False, True
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _label(spec: dict) -> str:
    return "-".join([spec["kind"], *(f"{k}={v}" for k, v in spec.items() if k not in ("kind", *REQUIRED))])
