"""The command line: words in, words out; every heavy import waits until its command runs."""

import errno
import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vaelab.errors import UsageError, VaelabError

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
                import vaelab.recipe  # noqa: F401  # all parts, so that a name that is taken is refused
                from vaelab.registry import load_plugin

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
    track: Annotated[
        list[str] | None,
        typer.Option(help="tensorboard, swanlab, wandb or mlflow, or 'swanlab mode=local'; repeatable."),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Train a recipe into a run folder."""
    from vaelab.report import refresh
    from vaelab.run import train
    from vaelab.runs import summary

    begun: list[Path] = []  # of several processes, in the main one only
    try:
        options = {"run": run, "data_dir": data_dir, "device": device, "resume": resume}
        train(recipe, *overrides or [], **options, began=begun.append, track=track or [])
    finally:  # also of a run that was stopped or failed
        for folder in begun:
            refresh(folder)
    for folder in begun:
        print(summary(folder))


@command
def evaluate(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN] [KEY=VALUE]", help="A run; options like frechet.pca_dim=64."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="In place of a run, a folder of images to judge …")] = None,
    real: Annotated[str | None, typer.Option(help="… against a folder of real ones, or a set like mnist.")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Resize images to the size of the real ones.")] = False,
    metrics: Annotated[str | None, typer.Option(help="Names, with commas between [default: the quick ones].")] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    samples: Annotated[int | None, typer.Option(help="Draws per image of the likelihood [default: 100].")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Samples to judge [default: as many as real images].")] = None,
    sampler: Annotated[str | None, typer.Option(help="prior, gmm, flow, … (vaelab list sampler).")] = None,
    extractor: Annotated[str | None, typer.Option(help="inception, squeezenet, classifier, pixels, …")] = None,
    pca_dim: Annotated[int | None, typer.Option(help="Project features to so many components.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file of --images [default: FOLDER.metrics.json].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Measure a trained model, or images by any generator: metrics.json, and a table."""
    from vaelab import evaluation
    from vaelab.listing import announce, show_metrics
    from vaelab.recipe_text import with_overrides
    from vaelab.report import refresh
    from vaelab.stored import folder_of

    runs = [word for word in words or [] if "=" not in word]
    if (len(runs), images is None, real is None) not in ((1, True, True), (0, False, False)):
        raise UsageError("evaluate takes one RUN, or --images FOLDER with --real FOLDER|SET")
    idle = [f"--{k}" for k, v in {"fit": fit, "out": out}.items() if v] if images is None else []
    if idle:
        raise UsageError(f"{idle[0]} is about --images; leave it out")
    flags = {"n": n, "sampler": sampler, "extractor": extractor, "pca_dim": pca_dim, "seed": seed}
    options: dict[str, Any] = {key: value for key, value in flags.items() if value is not None}
    options |= {} if samples is None else {"likelihood": {"samples": samples}}
    options = with_overrides(options, [word for word in words or [] if "=" in word])
    chosen = [name.strip() for name in metrics.split(",")] if metrics else None
    if misplaced := [key for key in options if key in ("run", "metrics", "split", "device", "data_dir", "out", "fit")]:
        flag = misplaced[0].replace("_", "-")
        raise UsageError(f"{misplaced[0]} is no option of a metric; write --{flag}, see vaelab evaluate --help")
    common = {"metrics": chosen, "split": split, "data_dir": data_dir, "device": device}
    with announce() as say:
        if images is None:
            report = evaluation.evaluate(runs[0], **common, announce=say, **options)
        else:
            given = options.pop("real", {})
            if not isinstance(given, dict):
                raise UsageError("options of the real set are given like real.resize=32")
            spec = {"kind": real, **given}
            report = evaluation.evaluate_images(images, spec, fit=fit, out=out, **common, announce=say, **options)
    show_metrics(report, chosen)
    for run in runs:
        refresh(folder_of(run))


@command
def sample(
    run: Run,
    n: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 64,
    images: Annotated[Path | None, typer.Option(help="A folder for single PNGs, in place of one grid.")] = None,
    out: Annotated[Path | None, typer.Option(help="The grid's file [default: RUN/samples.png].")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other images.", min=0)] = 0,
    sampler: Annotated[str, typer.Option(help="prior, gmm, flow, … (vaelab list sampler).")] = "prior",
    options: Annotated[list[str] | None, typer.Option("--set", help="Of the sampler, like components=20.")] = None,
    pixels: Annotated[
        Literal["mean", "sample"], typer.Option(help="Of p(x | z): its mean, or a draw from it.")
    ] = "mean",
    label: Annotated[int | None, typer.Option(help="Of a conditional model: one class [default: all in turn].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Draw new images: from the prior, or by a sampler fitted to the latents of training images."""
    from vaelab.export import write_grid, write_images
    from vaelab.recipe_text import with_overrides
    from vaelab.run import sample
    from vaelab.stored import folder_of

    spec = with_overrides({"kind": sampler}, options or [])
    drawn = sample(run, n, sampler=spec, pixels=pixels, seed=seed, label=label, data_dir=data_dir, device=device)
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
    images: Annotated[
        Path | None, typer.Option(help="A folder for single PNGs, below real/ and recon/, in place of one picture.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture's file [default: RUN/reconstructions.png].")] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="How many test images [default: 20; all with --images].", min=1)
    ] = None,
    label: Annotated[int | None, typer.Option(help="Of a conditional model: the class of the image files.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Encode images and decode them again."""
    from vaelab.data.source import Split
    from vaelab.export import make_empty, read_images, reconstructions, write_images, write_pairs
    from vaelab.stored import folder_of, labels_of, open_run, restore

    if files:
        model, recipe, shape = restore(run, device)
        labels = labels_of(model, label, len(files))
        originals = Split(read_images(files, shape, fit, recipe.binary), labels)
    elif label is not None:
        raise UsageError("--label is the class of image files; test images have their own, so leave it out")
    else:
        model, _, data = open_run(run, data_dir, device)
        originals = data.test[: n or (None if images else 20)]
    back = reconstructions(model, originals)
    if images:
        for name in ("real", "recon"):  # both, before anything is written
            make_empty(images / name)
        write_images(originals.images.float() / 255, images / "real")
        print(f"{write_images(back, images / 'recon')} images in {images}/real and {images}/recon")
    else:
        print(write_pairs(originals.images, back, out or folder_of(run) / "reconstructions.png"))


@command
def figures(
    run: Run,
    only: Annotated[list[str] | None, typer.Argument(metavar="FIGURE", help="Names [default: all it allows].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Draw the figures that a run allows into RUN/figures."""
    from vaelab.report import refresh
    from vaelab.run import draw
    from vaelab.stored import folder_of

    for path in draw(run, *only or [], data_dir=data_dir, device=device):
        print(path)
    refresh(folder_of(run))


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
    images: Annotated[Path | None, typer.Option(help="Also write a split as single PNGs into this folder.")] = None,
    split: Annotated[str, typer.Option(help="train, valid or test, for --images.")] = "test",
    data_dir: DataDir = None,
    plugin: Plugin = None,
) -> None:
    """Show the sets of images, or load one: its splits, shape and classes."""
    from vaelab.listing import show_data, show_parts

    if name is None:
        return show_parts("data", False)
    return show_data(name, options or [], data_dir, out, images, split)


@command
def track(
    run: Run,
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Of it, like mode=local.")] = None,
    to: Annotated[
        str, typer.Option(help="tensorboard, swanlab, wandb or mlflow, or 'swanlab mode=local'.")
    ] = "tensorboard",
    plugin: Plugin = None,
) -> None:
    """Send what a run folder holds to a tracker: rows, pictures, final numbers, each once."""
    from vaelab.recipe_text import with_overrides
    from vaelab.tracking.chosen import parsed
    from vaelab.tracking.follow import track

    folder = run.parent if run.suffix == ".safetensors" else run
    counts = track(folder, [with_overrides(parsed(to), options or [])])
    print(f"sent to {to}: {', '.join(f'{count:,} {what}' for what, count in counts.items())}")


@command
def quality(
    sets: Annotated[list[Path], typer.Argument(metavar="DIR|RUN …", help="Folders of images, or runs.")],
    out: Annotated[Path, typer.Option(help="The folder of the tables.")] = Path("quality"),
    n: Annotated[int, typer.Option("-n", help="Samples drawn of a run.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the samples.", min=0)] = 0,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Sharpness of single images: a CSV per set, and their mean, median and 90th percentile."""
    from vaelab.listing import show_quality
    from vaelab.quality import quality

    show_quality(quality(sets, out, n=n, seed=seed, device=device), out)


@command
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Evaluated runs.")],
    order: Annotated[str | None, typer.Option(help="Names of runs in the order to show, commas between.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of tables and figures.")] = Path("comparison"),
    group: Annotated[bool, typer.Option(help="Runs that differ in their seed only as one.")] = True,
    figures: Annotated[bool, typer.Option(help="Also draw the figures.")] = True,
    data_dir: DataDir = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Set runs side by side: every metric with its interval, and figures; Markdown, CSV and PNG."""
    from vaelab.comparison import compare

    names = [name.strip() for name in order.split(",")] if order else None
    made = compare(runs, order=names, out=out, group=group, figures=figures, data_dir=data_dir, device=device)
    print(made.text)


@command
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN …", help="Runs, whole or not.")],
    out: Annotated[
        Path | None, typer.Option(help="The file [default: RUN/report.html, of several report.html].")
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Write all that is known of runs into one HTML file: numbers, curves, pictures, a diagnosis, the recipe."""
    from vaelab.report import report

    print(report(runs, out))


@command
def runs(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where runs are.")] = Path("runs"),
    plugin: Plugin = None,
) -> None:
    """List runs, the newest first: data, epoch, best ELBO, state and age."""
    from vaelab.runs import runs_table

    print(runs_table(directory))


def main() -> None:
    """The entry point."""
    if "OMP_WAIT_POLICY" not in os.environ:  # threads that spin for long ruin a shared machine, none a quiet one
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    shown, ours = warnings.showwarning, str(Path(__file__).parent)

    def show(message: Warning | str, category: type[Warning], filename: str, *place: Any) -> None:
        """Our own warnings as a sentence, without the line of code that gave them."""
        if filename.startswith(ours):
            print(f"note: {message}", file=sys.stderr)
        else:
            shown(message, category, filename, *place)

    warnings.showwarning = show
    app()
