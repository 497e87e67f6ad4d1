"""The command line: words in, words out; every heavy import waits until its command runs."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from vaelab.cli import train, use  # isort: skip  # in the order of the help
from vaelab.cli import evaluate, show
from vaelab.cli.command import app, unusable
from vaelab.cli.output import settle
from vaelab.io.progress import note, say
from vaelab.performance import tune_process

__all__ = ["app", "evaluate", "main", "show", "train", "use"]


def main() -> None:
    """The entry point."""
    settle()
    tune_process()
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "ERROR"
    )  # torch prints a stack where a connection breaks; we say whose
    shown, ours = warnings.showwarning, str(Path(__file__).parent.parent)

    def display(message: Warning | str, category: type[Warning], filename: str, *place: Any) -> None:
        """Our own warnings as a sentence, without the line of code that gave them."""
        if filename.startswith(ours):
            note(message)
        else:
            shown(message, category, filename, *place)

    warnings.showwarning = display
    try:
        app()
    except OSError as error:  # help that cannot be printed, which no command says
        message, code = unusable(error)
        say(f"error: {message}")
        sys.exit(code)
