"""The table of parts: what a recipe may name, by role.

A part is a class or a function whose typed signature is its configuration. What stands before the star is supplied
by the program (`x_shape`, `latent_dim`, …); what is keyword-only is an option that a recipe may set:

    @register("backbone", "mlp")
    def mlp(x_shape, latent_dim, out_channels, *, width: Size = 400, depth: Size = 1): ...
"""

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field

from vaelab.errors import UsageError
from vaelab.registry.bases import fitted, refuse_misfit

# The words for numbers in signatures.
Size = Annotated[int, Field(gt=0, lt=2**31)]  # a larger one overflows in torch, with a worse message
Count = Annotated[int, Field(ge=0, lt=2**31)]
Depth = Annotated[int, Field(gt=0, le=1000)]  # layers after one another, each of which takes its time to make
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

# What parts are called elsewhere, where no likeness of letters leads to the name here (of metrics, with each).
_ELSEWHERE = """
    gaussian=normal vampprior=vamp gmm=mixture mog=mixture resnet=vampalign_resnet cnn=conv fc=mlp
    bce=bernoulli mse=normal l2=normal l1=laplace pixelcnn=pixel realnvp=coupling glow=coupling nsf=spline vae=elbo
    beta_vae=elbo warmup=linear cifar=cifar10
"""
USUAL = {there: here for there, _, here in (pair.partition("=") for pair in _ELSEWHERE.split())}
_TABLE: dict[str, dict[str, Callable]] = {}
_ABOUT: dict[tuple[str, str], object] = {}
_BASES: dict[str, type] = {}
T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Role:
    """Marks an option that is itself a part: `beta: Annotated[Schedule, Role("schedule")]`.

    `latent_dim` names the supplied value that is the part's latent_dim, where it is not that of the whole.
    """

    name: str
    latent_dim: str = "latent_dim"


def register(role: str, name: str, about: object = None) -> Callable:
    """Make the decorated class or function available to recipes as `{kind: name}` in this role.

    `about` is what tables, pages and sentences say of it, in its role's own type.
    """

    def add(thing: Callable) -> Callable:
        known = _TABLE.setdefault(role, {})
        if name in known and known[name].__qualname__ != thing.__qualname__:
            raise UsageError(f"{role} {name!r} is already {known[name].__qualname__}; register yours by another name")
        fits = fitted(role, name, thing, _BASES[role]) if role in _BASES else thing
        known[name], _ABOUT[role, name] = fits, about
        return fits

    return add


def base_of(role: str) -> Callable[[T], T]:
    """Make the decorated class the one that parts of a role derive from, also those that are registered already."""

    def add(base: T) -> T:
        for name, thing in _TABLE.get(role, {}).items():
            refuse_misfit(role, name, thing, base)
        _BASES[role] = base
        return base

    return add


def refuse_foreign(role: str, name: str, built: object) -> None:
    """UsageError of what a part has built, where that is none of its role."""
    if not isinstance(built, base := _BASES.get(role, object)):
        raise UsageError(f"{role} {name!r} gives {type(built).__name__}; return a {base.__name__} of {base.__module__}")


def discover(package: str) -> None:
    """Import every module of a package, so that the parts in them are registered."""
    for module in pkgutil.iter_modules(sys.modules[package].__path__):
        importlib.import_module(f"{package}.{module.name}")


def roles() -> list[str]:
    """All roles that have parts."""
    return sorted(_TABLE)


def names(role: str) -> list[str]:
    """The names of the parts in a role."""
    return sorted(_TABLE.get(role, {}))


def name_of(role: str, thing: Callable) -> str | None:
    """The name by which a class or function is registered."""
    return next((name for name, known in _TABLE.get(role, {}).items() if known is thing), None)


def part(role: str, name: str) -> Callable:
    """The class or function that is registered under a name."""
    if name not in _TABLE.get(role, {}):
        raise UsageError(f"unknown {role} {name!r}; {hint(name, names(role))}")
    return _TABLE[role][name]


def about(role: str, name: str) -> object:
    """What a part was registered with to be said of it; None where that is nothing, or there is no such part."""
    return _ABOUT.get((role, name))


def hint(key: str, known: list[str]) -> str:
    """`did you mean 'width'?`, or all that is known."""
    usual = USUAL.get(key.lower().replace("-", "_"))
    near = [usual] if usual in known else difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
