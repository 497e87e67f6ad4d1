"""What a part owes to the class of its role: to derive from it, and to spell the names right that it overrides."""

import contextlib
import difflib
import types
from collections.abc import Iterator
from contextvars import ContextVar
from inspect import get_annotations
from typing import Any

from vaelab.errors import UsageError

_ADOPTING: ContextVar[bool] = ContextVar("adopting", default=False)
ALIKE = 0.85  # share of letters from which a name passes for another that is misspelt


def refuse_misfit(role: str, name: str, part: object, base: type) -> None:
    """UsageError of a class that does not derive from that of its role, or overrides a name that nothing asks for.

    A function is judged by what it returns (see `build`).
    """
    if not isinstance(part, type):
        return
    where = f"{role} {name!r}"
    if not issubclass(part, base):
        raise UsageError(
            f"{where}: {part.__name__} does not derive from its role; write `class {part.__name__}({base.__name__})`, "
            f"with `from {base.__module__} import {base.__name__}`"
        )
    known, own = _public(base), {k: v for c in part.__mro__[: part.__mro__.index(base)] for k, v in _public(c).items()}
    for found, value in own.items():
        if found in known and callable(value) != callable(known[found]):
            wanted = "a method" if callable(known[found]) else "no method: a value, or a property"
            raise UsageError(f"{where}: {found} of a {role} is {wanted}; make it one")
        alike = difflib.get_close_matches(found, {*known} - {*own}, cutoff=ALIKE)
        if not hasattr(base, found) and alike and callable(value) == callable(known[alike[0]]):
            raise UsageError(
                f"{where}: no {role} is asked for {found!r}; did you mean {alike[0]!r}? A helper of your own may "
                f"be called _{found}"
            )


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Within, classes that derive from no role are taken as they are, as in plugins of runs older than the roles."""
    token = _ADOPTING.set(True)
    try:
        yield
    finally:
        _ADOPTING.reset(token)


def fitted(role: str, name: str, part: Any, base: type) -> Any:
    """The part, with the defaults of its role where it is adopted; UsageError where it misfits."""
    if _ADOPTING.get() and isinstance(part, type) and not issubclass(part, base):
        attributes = {key: getattr(part, key) for key in ("__module__", "__qualname__", "__doc__")}
        return types.new_class(part.__name__, (part, base), exec_body=lambda space: space.update(attributes))
    refuse_misfit(role, name, part, base)
    return part


def _public(cls: type) -> dict[str, Any]:
    """What a class itself defines, and what it declares, without a value."""
    return {k: v for k, v in {**dict.fromkeys(get_annotations(cls)), **vars(cls)}.items() if not k.startswith("_")}
