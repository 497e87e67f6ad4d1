"""Advice of the command line: the fix of an error in its own options, where the library names an argument."""

from collections.abc import Callable
from typing import Any

from vaelab import errors
from vaelab.io.formatting import typed

TRAINED = ("recipe.yaml", "log.jsonl", "last.pt", "model.safetensors", "state.json")  # which --resume goes on with
PLACED = (".html", ".md", ".csv", "metrics.json", "metrics-valid.json", "metrics-train.json")  # endings, by --out
TAKE = {"model": "fit, load, evaluate, sample and plot", "data": "train, fit, evaluate, sample and plot"}

ADVICE: dict[type[errors.VaelabError], Callable[[Any], str]] = {
    errors.Problems: lambda e: "a part of your own needs --plugin FILE",
    errors.Stopped: lambda e: f"carry on with --run {typed(e.folder)} --resume",
    errors.ProcessLost: lambda e: "start all processes again with --resume",
    errors.FolderGone: lambda e: "move it back and carry on with --resume, or train again",
    errors.NoFolder: lambda e: "choose another --run",
    errors.AlreadyARun: lambda e: "add --resume to carry on, or choose another --run",
    errors.NothingToResume: lambda e: "name it with --run, or leave out --resume to start a new run",
    errors.OtherRecipe: lambda e: f"{e.mend} or choose another --run",
    errors.ChangedRecipe: lambda e: "leave out --resume and start a new run",
    errors.NeedsPlugin: lambda e: f"{e.read} with --plugin",
    errors.ComposedByHand: lambda e: f"use it in Python, where {TAKE[e.what]} take {e.what}=…",
    errors.Unwritable: lambda e: e.mend + _again(e.path.name),
    errors.Unwritten: lambda e: fix_of(e.error),
    errors.MissingData: lambda e: f"{e.get}, or point --data-dir or VAELAB_DATA to a folder that has {e.what}",
    errors.WrongSize: lambda e: "add --fit to crop and resize them",
    errors.NeedsLabels: lambda e: "choose a class with --label",
    errors.NeedsSampler: lambda e: f"take --sampler {e.instead}",
}


def told(error: errors.VaelabError) -> str:
    """The sentence of an error, for somebody who typed a command."""
    return error.mended_by(fix_of(error))


def fix_of(error: errors.VaelabError) -> str:
    """In options of the command line, where the library has a fix, and it has options."""
    advice = next((ADVICE[kind] for kind in type(error).__mro__ if kind in ADVICE), None)
    return advice(error) if advice and error.fix else error.fix


def _again(name: str) -> str:
    """How a file that could not be written is written after all."""
    resumed = " and carry on with --resume" if name in TRAINED else ""
    return f"{resumed}, or choose another place{' with --out' if name.endswith(PLACED) else ''}"
