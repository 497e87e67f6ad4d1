"""What a command is: its options' words, and what its errors say."""

import errno
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, get_args

import typer

from vaelab.cli.advice import told
from vaelab.cli.completion import COMPLETIONS
from vaelab.errors import VaelabError, brief, is_out_of_memory
from vaelab.io.progress import say

app = typer.Typer(
    name="vaelab",
    help="Variational autoencoders on images: compose, train fast, judge honestly, look inside.",
    epilog="Start with: vaelab train digits-vamp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model.safetensors.")]
DataDir = Annotated[Path | None, typer.Option(help="Where the sets' files are; else VAELAB_DATA, else the cache.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Plugin = Annotated[list[str] | None, typer.Option(help="A Python file that registers further parts; repeatable.")]
PLUGIN = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Plugin)  # of all commands

# Of the help, by the module of a command.
PANELS = {"train": "Train and draw", "use": "Train and draw", "evaluate": "Judge", "show": "Look"}


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"vaelab {version('vaelab')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What is said before a command."""


def command(function: Callable) -> Callable:
    """Register a command whose errors are one sentence and an exit code: 2 for the user's mistakes, 1 for others."""
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values(), PLUGIN]
    for parameter in parameters:
        for shown in get_args(parameter.annotation)[1:]:
            shown.help, shown.autocompletion = _literal(shown.help), COMPLETIONS.get(parameter.name)
    panel = PANELS[function.__module__.split(".")[-1]]

    @app.command(function.__name__.rstrip("_"), help=_literal(inspect.getdoc(function)), rich_help_panel=panel)
    @functools.wraps(function)
    def guarded(*args: Any, plugin: list[str] | None = None, **options: Any) -> None:
        sys.excepthook = _tell
        try:
            _prepare(plugin, options.get("data_dir"))
            from vaelab.registry.plugins import explained

            with explained():
                function(*args, **options)
            sys.stdout.flush()  # here, where a full disk can be said
        except VaelabError as error:
            _leave(told(error), error.exit_code)
        except KeyboardInterrupt:
            _leave("stopped by Ctrl-C; what was written before is whole", 2)
        except OSError as error:
            if error.errno is None:
                raise
            _leave(*unusable(error))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            _leave("out of memory; lower train.batch_size, the sizes of the model or of the data, or --samples", 1)

    guarded.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    guarded.__annotations__ = {p.name: p.annotation for p in parameters}
    return guarded


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What is said of an error that no command catches, as a thread's that ends the process."""
    if isinstance(error, VaelabError):
        say(f"error: {told(error)}")
    else:
        sys.__excepthook__(kind, error, trace)


def _prepare(plugin: list[str] | None, data_dir: Path | None) -> None:
    """Load plugins; refuse a data directory that is not there, also where no file of it is needed."""
    if plugin:
        import vaelab.recipe.recipe  # noqa: F401  # all parts, so that a name that is taken is refused
        from vaelab.registry.plugins import load_plugins

        load_plugins(plugin)
    if data_dir:
        from vaelab.io.places import places

        places(data_dir)


def unusable(error: OSError) -> tuple[str, int]:
    """What to say of a place that cannot be used, and the exit code: 2 where it was misnamed."""
    place, number = error.filename2 or error.filename or "the output", error.errno or 0
    misnamed = number in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG)
    return f"cannot use {place}: {os.strerror(number)}; free or choose another place", 2 if misnamed else 1


def _literal(text: str | None) -> str:
    """Help as it is written: brackets, which would be taken for styles, once escaped stay so."""
    return re.sub(r"(?<!\\)\[", r"\\[", text or "")


def _leave(message: str, code: int) -> None:
    say(f"error: {brief(message)}")
    raise typer.Exit(code)
