"""Tables for people: parts, recipes, data sets and metrics, on the terminal or as Markdown."""

import inspect
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from vaelab.cli.parts import written
from vaelab.data import load_set
from vaelab.data.images import to_floats
from vaelab.errors import UsageError
from vaelab.evaluation.images import write_images
from vaelab.figures.generated_samples import generated_samples
from vaelab.figures.style import save
from vaelab.figures.tiles import shown
from vaelab.io.formatting import counted, number, printable
from vaelab.io.progress import Stages
from vaelab.metrics.names import Number, numbers
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.text import shipped_names, with_overrides
from vaelab.registry import hint, names, part, roles
from vaelab.registry.schema import options, role_of
from vaelab.runs.results import Results

COUNT = 10  # numbers of an evaluation that are shown unless all are asked for
# Of roles, as they are listed; those that no part of ours has come last.
ORDER = (
    *("recipes", "data", "backbone", "posterior", "flow", "prior", "likelihood", "objective"),
    *("schedule", "metric", "extractor", "sampler", "tracker", "figure"),
)


def show_parts(role: str | None, markdown: bool) -> None:
    """The parts of one role, or of all; recipes are listed like a role."""
    known = sorted({*ORDER, *roles()}, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    role = {"recipe": "recipes"}.get(role or "", role)
    if role is not None and role not in known:
        raise UsageError(f"no role {role!r}; {hint(role, known)}")
    for name in [role] if role else known:
        if name == "recipes":
            show_table("recipes", ["name", "data", "epochs", "what"], _recipe_rows(), markdown=markdown)
        else:
            show_table(name, ["kind", "options", "what"], *_part_rows(name), markdown=markdown)


def show_data(
    name: str, overrides: Sequence[str], directory: Path | None, out: Path | None, images: Path | None, split: str
) -> None:
    """Load a set and tell what is in it."""
    if paths := [text for text in overrides if "=" not in text and Path(text).exists()]:
        raise UsageError(f"{paths[0]} is no KEY=VALUE; write vaelab data {name} path={paths[0]}")
    if name not in names("data") and Path(name).exists():
        kind = "folder" if Path(name).is_dir() or Path(name).suffix.lower() in (".zip",) else "arrays"
        raise UsageError(f"{name} is no set by its name; write vaelab data {kind} path={name}")
    data = load_set(with_overrides({"kind": name}, [text.removeprefix("data.") for text in overrides]), directory)
    say(data.summary)
    splits = {split: getattr(data, split) for split in ("train", "valid", "test")}
    rows = [
        [split, f"{len(s):,}", " × ".join(map(str, s.images.shape[1:])), _classes(s)] for split, s in splits.items()
    ]
    show_table(name, ["split", "images", "shape", "classes"], rows, markdown=False)
    if images:
        if split not in splits:
            raise UsageError(f"unknown split {split!r}; {hint(split, list(splits))}")
        print(f"{write_images(splits[split].images, images, data.scale)} images in {images}")
    if out:
        seen = shown(to_floats(data.train.images[:64]), data.colours)
        print(save(generated_samples(seen, title=f"{name}: training images"), out))


def show_headlines(results: Results) -> None:
    """A table of ten lines, what could not be measured, and where the rest is."""
    shown = [(found, metric.values) for name, metric in results.metrics.items() for found in numbers(name, metric)]
    main = sorted((one for one in shown if one[0].about.rank), key=lambda one: one[0].about.rank)[:COUNT]
    rows = [_headline(found, values) for found, values in main]
    head = f"{results.title}: {results.counted}"
    show_table(head, ["name", "value", "95 % interval", "meaning (↑ is better)"], rows, markdown=False)
    say_features(results)
    if missing := results.unavailable:
        say(f"not measured: {', '.join(missing)}; to learn why, name one: --metrics {next(iter(missing))}")
    more = counted(len(shown) - len(main), "more number")
    say(f"{more}, how each was measured, and notes: --all, or the file of metrics")


def _headline(found: Number, values: Mapping[str, Any]) -> list[str]:
    about = found.about
    value = f"{found.value} of {values[about.of]}" if about.of in values else number(found.value)
    meaning = f"{about.meaning} {about.arrow}".rstrip()
    return [found.name, f"{value} {about.unit}".rstrip(), interval(found.interval), meaning]


def show_metrics(results: Results) -> None:
    """The table of an evaluation, and what could not be measured."""
    rows = [
        [metric, found.name, number(found.value), interval(found.interval), found.about.unit]
        for metric, measured in results.metrics.items()
        for found in numbers(metric, measured)
    ]
    columns = ["metric", "name", "value", "95 % interval", "unit"]
    show_table(f"{results.title}: {results.counted}", columns, rows, markdown=False)
    say_features(results)
    for name, reason in results.unavailable.items():
        say(f"not measured: {name}: {reason}")


def say_features(results: Results) -> None:
    """Whose features the numbers of samples are of, and the hash of their weights."""
    found = [extractor for metric in results.metrics.values() if (extractor := metric.extractor())]
    for name, weights in {extractor["name"]: extractor["hash"] for extractor in found if "hash" in extractor}.items():
        say(f"features: {name} {weights}".rstrip())


def show_verdicts(results: Results) -> None:
    """What the recipe expected, and whether it was reached."""
    for verdict in results.expected:
        say(verdict.text(verdict.name, number))


def show_notes(results: Results, but: Collection[str] = ()) -> None:
    """What a reader of the numbers must know, of all metrics but for those in `but`."""
    told = results.only([name for name in results.metrics if name not in but])
    for note in [*results.notes, *told.remarks]:
        say(f"note: {note}")


@contextmanager
def announce() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what is being measured."""
    with Stages() as stages:
        yield lambda name: stages.begin(f"measuring {name}")


def show_quality(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The summary of single-image statistics, a line for each set and statistic."""
    names = [key.removesuffix("_mean") for key in rows[0] if key.endswith("_mean")]
    kinds = ("mean", "median", "p90")
    lines = [
        [row["set"], f"{row['images']:,}", name, *(number(row[f"{name}_{kind}"]) for kind in kinds)]
        for name in names
        for row in rows
    ]
    show_table("quality", ["set", "images", "statistic", *kinds], lines, f"tables in {out}", markdown=False)


def say(text: str) -> None:
    """A sentence, on a terminal folded at its words."""
    console = Console()
    fold = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
    text = printable(text)
    print(textwrap.fill(text, console.width, **fold) if console.is_terminal else text)


def interval(ends: Sequence[float] | None) -> str:
    """`72.10 … 74.60`, "" for none."""
    return "" if ends is None else f"{number(ends[0])} … {number(ends[1])}"


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "", *, markdown: bool
) -> None:
    """Columns on the terminal, or as Markdown; the note below."""
    if markdown:
        cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        lines = [columns, ["---"] * len(columns), *cells]
        print(
            f"### {title}\n",
            *(f"| {' | '.join(line)} |" for line in lines),
            f"\n{note}\n" if note else "",
            sep="\n",
        )
        return
    table = Table(
        *(Column(name, overflow="fold") for name in columns),
        title=escape(printable(title)),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    Console().print(table, *([escape(printable(note))] if note else []), "")


def _part_rows(role: str) -> tuple[list[list[str]], str]:
    """A row for each part; and the options that all have in common, which need saying only once."""
    texts = {kind: [_option(k, p) for k, p in options(part(role, kind)).items()] for kind in names(role)}
    common = set.intersection(*map(set, texts.values())) if len(texts) > 2 else set()
    firsts = {kind: (inspect.getdoc(part(role, kind)) or "").partition("\n")[0] for kind in texts}
    rows = [[kind, ", ".join(t for t in texts[kind] if t not in common), firsts[kind]] for kind in texts]
    shared = [text for text in next(iter(texts.values())) if text in common]
    return rows, f"All take {', '.join(shared)}." if shared else ""


def _option(name: str, parameter: inspect.Parameter) -> str:
    """`width=400`, `path` where it must be given, `fit=fixed|learnable|optimal` where there is a choice."""
    annotation, default = parameter.annotation, parameter.default
    if get_args(annotation) and "Literal" in str(annotation) and role_of(annotation) is None:
        others = [str(v) for v in get_args(annotation) if v != default and isinstance(v, str)]
        return f"{name}={'|'.join([str(default), *others])}"
    return name if default is parameter.empty else f"{name}={written(default)}"


def _recipe_rows() -> list[list[str]]:
    rows = []
    for name in shipped_names():
        recipe = Recipe.read(name)
        length = recipe.train.get("epochs") or f"{recipe.train['steps']} steps"
        rows.append([name, recipe.data.kind, f"{length}", str(recipe.paper.get("title", ""))])
    return rows


def _classes(split: Any) -> str:
    return "–" if split.labels is None else str(len(split.labels.unique()))
