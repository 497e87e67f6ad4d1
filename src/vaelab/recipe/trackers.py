"""The trackers that a recipe or a command asks for."""

import shlex
from collections.abc import Mapping
from typing import Any

from vaelab.errors import UsageError
from vaelab.recipe.text import with_overrides

Spec = str | Mapping[str, Any]  # "tensorboard", or {"kind": "swanlab", "mode": "local"}


def parsed(text: str) -> dict[str, Any]:
    """`swanlab mode=local` as a part with options; UsageError where a quotation has no end."""
    try:
        name, *options = shlex.split(text) or [""]
    except ValueError as error:
        raise UsageError(f"tracker {text!r}: {str(error).lower()}; write it like 'swanlab mode=local'") from error
    return with_overrides({"kind": name}, options)
