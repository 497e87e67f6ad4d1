"""The command line: words in, words out; every heavy import waits until its command runs."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vaelab.errors import VaelabError

app = typer.Typer(
    name="vaelab",
    help="Variational autoencoders on images: compose, train fast, judge honestly, look inside.",
    epilog="Start with: vaelab train digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model.safetensors.")]
DataDir = Annotated[Path | None, typer.Option(help="Where the sets' files are; else VAELAB_DATA, else the cache.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Plugin = Annotated[list[str] | None, typer.Option(help="A Python file that registers further parts; repeatable.")]


def command(function: Callable) -> Callable:
    """Register a command whose errors are one sentence and an exit code: 2 for the user's mistakes, 1 for others."""

    @app.command(function.__name__.rstrip("_"))
    @functools.wraps(function)
    def guarded(*args: Any, plugin: list[str] | None = None, **options: Any) -> None:
        try:
            if plugin:
                from vaelab.recipe import load_plugin

                for path in plugin:
                    load_plugin(path)
            function(*args, **options)
        except VaelabError as error:
            _leave(str(error), error.exit_code)
        except KeyboardInterrupt:
            _leave("stopped by Ctrl-C; what was written before is whole", 2)
        except BrokenPipeError:  # the reader of a pipe has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            if error.errno is None:
                raise
            place = error.filename2 or error.filename or "the output"
            misnamed = error.errno in (
                errno.EEXIST,
                errno.EISDIR,
                errno.ENOTDIR,
                errno.ENOENT,
                errno.ENAMETOOLONG,
            )
            _leave(
                f"cannot use {place}: {os.strerror(error.errno)}; free or choose another place",
                2 if misnamed else 1,
            )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            _leave(
                "out of memory; lower train.batch_size, the sizes of the model or of the data, or --samples",
                1,
            )

    return guarded


def _leave(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code)


@command
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe (vaelab list recipes) or a file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Like train.epochs=5.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run's folder [default: runs/RECIPE-TIME].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Carry on with a run that was stopped.")] = False,
    plugin: Plugin = None,
) -> None:
    """Train a recipe into a run folder."""
    from vaelab.run import train

    folder = train(recipe, *overrides or [], run=run, data_dir=data_dir, device=device, resume=resume)
    print(f"trained: {folder}\nnext: vaelab evaluate {folder}; vaelab figures {folder}")


@command
def evaluate(
    run: Run,
    metrics: Annotated[str | None, typer.Option(help="Names, with commas between [default: all].")] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    samples: Annotated[int, typer.Option(help="Draws per image of the IWAE bound.")] = 100,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Measure a trained model: RUN/metrics.json, and a table."""
    from vaelab.evaluation import METRICS, evaluate
    from vaelab.listing import show_metrics

    chosen = [name.strip() for name in metrics.split(",")] if metrics else METRICS
    options = {"likelihood": {"samples": samples}} if "likelihood" in chosen else {}
    show_metrics(evaluate(run, metrics=chosen, split=split, data_dir=data_dir, device=device, **options))


@command
def sample(
    run: Run,
    n: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 64,
    images: Annotated[Path | None, typer.Option(help="A folder for single PNGs, in place of one grid.")] = None,
    out: Annotated[Path | None, typer.Option(help="The grid's file [default: RUN/samples.png].")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other images.", min=0)] = 0,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Draw images from the prior."""
    from vaelab.export import samples, write_grid, write_images
    from vaelab.run import folder_of, restore

    drawn = samples(restore(run, device)[0], n, seed)
    if images:
        print(f"{write_images(drawn, images)} images in {images}")
    else:
        print(write_grid(drawn, out or folder_of(run) / "samples.png"))


@command
def reconstruct(
    run: Run,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="Image files [default: test images].")
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Crop and resize images of another size.")] = False,
    images: Annotated[Path | None, typer.Option(help="A folder for single PNGs, in place of one picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="The picture's file [default: RUN/reconstructions.png].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Encode images and decode them again."""
    from vaelab.export import read_images, reconstructions, write_images, write_pairs
    from vaelab.run import folder_of, open_run, restore

    if files:
        model, recipe, shape = restore(run, device)
        originals = read_images(files, shape, fit, recipe.binary)
    else:
        model, _, data = open_run(run, data_dir, device)
        originals = data.test.images[:20]
    back = reconstructions(model, originals)
    if images:
        print(f"{write_images(back, images)} images in {images}")
    else:
        print(write_pairs(originals, back, out or folder_of(run) / "reconstructions.png"))


@command
def figures(
    run: Run,
    only: Annotated[list[str] | None, typer.Argument(metavar="FIGURE", help="Names [default: all it allows].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Draw the figures that a run allows into RUN/figures."""
    from vaelab.run import draw

    for path in draw(run, *only or [], data_dir=data_dir, device=device):
        print(path)


@command
def list_(
    role: Annotated[
        str | None, typer.Argument(metavar="ROLE", help="recipes, prior, likelihood, … [default: all].")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The tables of the README.")] = False,
    plugin: Plugin = None,
) -> None:
    """Show recipes and parts, with their options."""
    from vaelab.listing import show_parts

    show_parts(role, markdown)


@command
def data(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A set [default: all of them].")] = None,
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Like resize=32.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also draw its first training images to this file.")] = None,
    data_dir: DataDir = None,
    plugin: Plugin = None,
) -> None:
    """Show the sets of images, or load one: its splits, shape and classes."""
    from vaelab.listing import show_data, show_parts

    if name is None:
        return show_parts("data", False)
    return show_data(name, options or [], data_dir, out)


def main() -> None:
    """The entry point."""
    if "OMP_WAIT_POLICY" not in os.environ:  # threads that spin for long ruin a shared machine, none a quiet one
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    app()
