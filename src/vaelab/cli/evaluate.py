"""Commands that measure: a run or images by any generator, single images, runs side by side."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vaelab.cli.command import DataDir, Device, command
from vaelab.cli.output import show
from vaelab.errors import Unwritten, UsageError


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
    out: Annotated[Path | None, typer.Option(help="The file [default: RUN/metrics.json, FOLDER.metrics.json].")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every number, not only the ten main ones.")] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Measure a trained model, or images by any generator: metrics.json, and a table."""
    from vaelab.cli.tables import announce, show_metrics
    from vaelab.evaluation import evaluate as evaluation
    from vaelab.metrics.names import metric_of
    from vaelab.runs.results import Results

    runs, pairs = _parted(words or [], images, real, fit)
    flags = {"n": n, "sampler": sampler, "extractor": extractor, "pca_dim": pca_dim, "seed": seed}
    options, of_real = _options(flags, samples, pairs, real)
    chosen = [metric_of(name.strip()) for name in metrics.split(",")] if metrics else None
    options |= {"metrics": chosen, "split": split, "data_dir": data_dir, "device": device, "out": out}
    try:
        with announce() as measuring:
            if images is None:
                report = evaluation.evaluate(runs[0], announce=measuring, **options)
            else:
                report = evaluation.evaluate_images(images, of_real, fit=fit, announce=measuring, **options)
    except Unwritten as error:  # which costs no number
        show_metrics(Results(**error.report).only(chosen))
        raise
    _show(Results(**report).only(chosen), runs, everything or bool(chosen))


def _parted(words: list[str], images: Path | None, real: str | None, fit: bool) -> tuple[list[str], list[str]]:
    """The run among the words, if it is one that is measured, and their KEY=VALUE; UsageError of a mixture."""
    runs = [word for word in words if "=" not in word]
    if (len(runs), images is None, real is None) not in ((1, True, True), (0, False, False)):
        raise UsageError("evaluate takes one RUN, or --images FOLDER with --real FOLDER|SET")
    if fit and images is None:
        raise UsageError("--fit is about --images; leave it out")
    return runs, [word for word in words if "=" in word]


def _options(
    flags: dict[str, Any], samples: int | None, words: list[str], real: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the measuring and, where there is one, the real set with its own, as flags and words give them."""
    from vaelab.recipe.text import with_overrides

    options = {key: value for key, value in flags.items() if value is not None}
    options |= {} if samples is None else {"likelihood": {"samples": samples}}
    options = with_overrides(options, words)
    if misplaced := [key for key in options if key in ("run", "metrics", "split", "device", "data_dir", "out", "fit")]:
        flag = misplaced[0].replace("_", "-")
        raise UsageError(f"{misplaced[0]} is no option of a metric; write --{flag}, see vaelab evaluate --help")
    of_real = options.pop("real", {}) if real else {}
    if not isinstance(of_real, dict):
        raise UsageError("options of the real set are given like real.resize=32")
    return options, {"kind": real, **of_real}


def _show(results: Any, runs: list[str], whole: bool) -> None:
    """Print the numbers, the whole table or its head, then verdicts, findings and where the report of a run lies."""
    from vaelab.cli.tables import say, show_headlines, show_metrics, show_notes, show_verdicts
    from vaelab.report import refresh
    from vaelab.runs.folder import folder_of

    found = [finding for run in runs for finding in refresh(folder_of(run))]
    if whole:
        show_metrics(results)
        show_notes(results, {finding.metric for finding in found})
    else:
        show_headlines(results)
    show_verdicts(results)
    for finding in found:
        say(finding.text)
    for run in runs:
        show(f"report: {folder_of(run) / 'report.html'}")


@command
def quality(
    sets: Annotated[list[Path], typer.Argument(metavar="DIR|RUN …", help="Folders of images, or runs.")],
    out: Annotated[Path, typer.Option(help="The folder of the tables.")] = Path("quality"),
    n: Annotated[int, typer.Option("-n", help="Samples drawn of a run.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the samples.", min=0)] = 0,
    device: Device = "auto",
) -> None:
    """Sharpness of single images: a CSV per set, and their mean, median and 90th percentile."""
    from vaelab.cli.tables import show_quality
    from vaelab.evaluation.quality import quality

    show_quality(quality(sets, out, n=n, seed=seed, device=device), out)


@command
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Runs; those without numbers are evaluated.")],
    order: Annotated[str | None, typer.Option(help="Names of runs in the order to show, commas between.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of tables and figures.")] = Path("comparison"),
    group: Annotated[bool, typer.Option(help="Runs that differ in their seed only as one.")] = True,
    figures: Annotated[bool, typer.Option(help="Also draw the figures.")] = True,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Set runs side by side: every metric with its interval, and figures; Markdown, CSV and PNG."""
    from vaelab.evaluation.compare import compare

    names = [name.strip() for name in order.split(",")] if order else None
    made = compare(runs, order=names, out=out, group=group, figures=figures, data_dir=data_dir, device=device)
    print(made.text)
