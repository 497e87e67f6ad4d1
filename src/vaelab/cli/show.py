"""Commands that show what there is: reports, runs, parts, sets of images."""

from pathlib import Path
from typing import Annotated

import typer

from vaelab.cli.command import DataDir, Run, command
from vaelab.cli.output import show


@command
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN …", help="Runs, whole or not.")],
    out: Annotated[
        Path | None, typer.Option(help="The file [default: RUN/report.html, of several report.html].")
    ] = None,
) -> None:
    """Write all that is known of runs into one HTML file: numbers, curves, pictures, a diagnosis, the recipe."""
    from vaelab.report import report

    show(report(runs, out))


@command
def runs(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where runs are.")] = Path("runs"),
) -> None:
    """List runs, the newest first: data, epoch, best ELBO, state and age."""
    from vaelab.runs.table import runs_table

    print(runs_table(directory))


@command
def track(
    run: Run,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Of the last of them, like mode=local.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="tensorboard, swanlab, wandb or mlflow, or 'swanlab mode=local' [default: tensorboard]."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the run has ended, as train --track does.")
    ] = False,
    rewind: Annotated[
        int | None, typer.Option(metavar="STEP", help="Of a resumed run: forget what was sent of later steps.", min=0)
    ] = None,
) -> None:
    """Send what a run folder holds to trackers: rows, pictures, final numbers, each once."""
    from vaelab.recipe.text import with_overrides
    from vaelab.recipe.trackers import parsed
    from vaelab.tracking.follow import track

    *first, last = to or ["tensorboard"]
    counts = track(run, [*map(parsed, first), with_overrides(parsed(last), options or [])], follow=follow, done=rewind)
    if not follow:
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        print(f"sent to {' and '.join([*first, last])}: {told}")


@command
def list_(
    role: Annotated[
        str | None, typer.Argument(metavar="ROLE", help="recipes, prior, likelihood, …, model, train [default: all].")
    ] = None,
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="One part of that role, in full.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The tables of docs/.")] = False,
) -> None:
    """Show recipes and parts with their options, one part in full, or the options of a recipe's section."""
    from vaelab.cli.parts import SECTIONS, described_part, described_section
    from vaelab.cli.tables import show_parts

    if role in SECTIONS and kind is None:
        print(described_section(role))
    elif role and kind:
        print(described_part(role, kind))
    else:
        show_parts(role, markdown)


@command
def data(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A set [default: all of them].")] = None,
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Like resize=32.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also draw its first training images to this file.")] = None,
    images: Annotated[Path | None, typer.Option(help="Also write a split as single PNGs into this folder.")] = None,
    split: Annotated[str, typer.Option(help="train, valid or test, for --images.")] = "test",
    data_dir: DataDir = None,
) -> None:
    """Show the sets of images, or load one: its splits, shape and classes."""
    from vaelab.cli.tables import show_data, show_parts

    if name is None:
        return show_parts("data", False)
    return show_data(name, options or [], data_dir, out, images, split)
