"""The command that trains a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from vaelab.cli.command import DataDir, Device, command


@command
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A shipped recipe (vaelab list recipes), a file, or a run's folder."),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Like train.epochs=5.")] = None,
    run: Annotated[
        str | None, typer.Option(metavar="DIR", help="The run's folder [default: runs/RECIPE-TIME].")
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Carry on with DIR, or the newest run of RECIPE.")] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(help="tensorboard, swanlab, wandb or mlflow, or 'swanlab mode=local'; repeatable."),
    ] = None,
) -> None:
    """Train a recipe into a run folder."""
    from vaelab.cli.tables import say
    from vaelab.report import refresh
    from vaelab.runs.table import summary
    from vaelab.workbench import train

    words = overrides or []
    if recipe and "=" in recipe and not Path(recipe).exists():  # none was given
        recipe, words = None, [recipe, *words]
    begun: list[Path] = []  # of several processes, in the main one only
    found = []
    try:
        options = {"run": run, "data_dir": data_dir, "device": device, "resume": resume}
        train(recipe, *words, **options, began=begun.append, track=track or [])
    finally:  # also of a run that was stopped or failed
        for folder in begun:
            found += refresh(folder) if (folder / "recipe.yaml").exists() else []  # it may have been removed
    for folder in begun:
        print(summary(folder))
    for finding in found:
        say(finding.text)
