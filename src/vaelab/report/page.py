"""The page of a report: what is known of the runs, laid into one template with its style and script inside."""

import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from vaelab.evaluation.columns import Column
from vaelab.evaluation.table import rows_of
from vaelab.io.formatting import counted, span, typeset
from vaelab.metrics.names import about_metric, numbers
from vaelab.report.charts import Bar, bars
from vaelab.report.curves import curves_of, curves_of_all
from vaelab.report.diagnosis import diagnose
from vaelab.report.differences import differences
from vaelab.report.finding import LEVELS
from vaelab.report.learned import threshold
from vaelab.report.numbers import ends, protocol_of, protocols, remarks, tiles
from vaelab.report.pictures import exhibits
from vaelab.report.pixels import Pixels
from vaelab.report.sentence import sentence
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Log, finite
from vaelab.runs.recipe import OF_TEST_IMAGES

HERE = Path(__file__).parent
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # what no page may hold, as in names of files


class Dimensions(NamedTuple):
    """The KL of each latent dimension of a run, the largest first, or why that is missing."""

    name: str
    bars: list[Bar]
    threshold: float  # nats from which a dimension counts as used
    missing: str

    @classmethod
    def of(cls, run: RunFolder) -> "Dimensions":
        """Those of a run, `z7` with its level where there are several."""
        levels = [level for level, size in enumerate(run.recipe.levels, 1) for _ in range(size)]
        curve = run.current.curve("active_units", "kl_per_dimension") if run.current else []
        known = [(int(d), kl) for d, kl in curve]
        found = [Bar(f"z{d}", kl, levels[d - 1] if 0 < d <= len(levels) else None) for d, kl in known]
        missing = "" if found else _missing(run)
        return cls(run.name, sorted(found, key=lambda bar: -bar.value), threshold(run), missing)

    @property
    def svg(self) -> str:
        """The drawing."""
        return bars(self.bars, self.threshold)

    @property
    def used(self) -> int:
        """Dimensions that carry information."""
        return sum(bar.value >= self.threshold for bar in self.bars)

    @property
    def levels(self) -> list[int]:
        """The levels that there are, if several."""
        return sorted({bar.level for bar in self.bars if bar.level})


def page(runs: Sequence[RunFolder], refused: Sequence[str] = ()) -> str:
    """The HTML of a report; `refused` says of what could not be shown at all."""
    alone, described = len(runs) == 1, [run for run in runs if run.recipe.sections]
    shown, differing = exhibits(runs), differences(described)
    rows, notes = ([], []) if alone else rows_of([Column((run,)) for run in runs])
    problems = [text if alone else f"{run.name}: {text}" for run in runs for text in run.problems]
    known = {
        "runs": runs,
        "title": runs[0].name if alone else f"{len(runs)} runs side by side",
        "problems": [*refused, *_apart(runs, differing), *_unlike(runs), *problems],
        "tiles": tiles(runs[0]) if alone else [],
        "charts": curves_of(runs[0]) if alone else curves_of_all(runs, [run.name for run in runs]),
        "first": [exhibit for exhibit in shown if exhibit.first and exhibit.pictures],
        "rest": [exhibit for exhibit in shown if not exhibit.first or not exhibit.pictures],
        "dimensions": list(map(Dimensions.of, runs)),
        "measured": list(runs[0].measured.values()) if alone else [],
        "rows": rows,
        "notes": notes,
        "compared": described if len(described) > 1 else [],
        "differences": differing,
        "made": time.strftime("%d %B %Y, %H:%M"),
    }
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), _template().render(known))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"typeset": typeset, "ends": ends, "protocol": protocol_of, "protocols": protocols}
    environment.filters |= {"remarks": remarks, "yaml": _yaml}
    environment.globals |= {"sentence": sentence, "ended": _ended, "judged": _judged, "diagnose": diagnose}
    environment.globals |= {"about_metric": about_metric, "numbers": numbers, "levels": LEVELS, "finite": finite}
    environment.globals |= {"version": version("vaelab")}
    environment.globals |= {"style": Markup((HERE / "page.css").read_text(encoding="utf-8"))}
    environment.globals |= {"script": Markup((HERE / "page.js").read_text(encoding="utf-8"))}
    return environment.get_template("page.html")


def _yaml(sections: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(sections), sort_keys=False, allow_unicode=True)


def _judged(stage: Log) -> str:
    """`the last stage (16 pixels, epochs 13–24)` where the diagnosis looks at no more, else ""."""
    if not stage.earlier or not stage.train:
        return ""
    first, last = stage.train[0]["epoch"], stage.train[-1]["epoch"]
    epochs = f"epochs {first:g}–{last:g}" if last > first else f"epoch {first:g}"
    return f"the last stage ({stage.train[0]['resolution']:g} pixels, {epochs})"


def _missing(run: RunFolder) -> str:
    """Why there are no bars of the KL of each dimension."""
    if run.current and "active_units" in run.current.metrics:
        return "this prior and posterior have no KL per dimension in closed form, so there are no bars."
    measured = "the KL of each dimension was not measured of these weights yet; the metric active_units does"
    return measured if run.has_model else ""


def _ended(run: RunFolder) -> str:
    """How long it took and how it ended, in a few words."""
    length = f"{run.log.epoch} of {counted(run.epochs, 'epoch')}" if run.epochs else ""
    took = f"{span(run.state.seconds)} of training" if run.state.seconds else ""
    when = time.strftime("%d %B %Y, %H:%M", time.localtime(run.state.seen))
    return " · ".join(text for text in (length, took, when) if text)


def _apart(runs: Sequence[RunFolder], differing: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """A sentence where runs are of different images."""
    sets = {run.name: run.recipe.data for run in runs if run.recipe.data}
    no, apart = "so their losses and numbers do not compare", {key for key, _ in differing}
    if len(set(sets.values())) > 1:
        told = ", ".join(f"{name} of {data}" for name, data in sets.items())
        return [f"These runs are of different data ({told}), {no}."]
    if "data.path" in apart:
        return [f"These runs are of images in different folders (see data.path below), {no}."]
    if any(key.startswith("data.") and key.removeprefix("data.") not in OF_TEST_IMAGES for key in apart):
        return [f"These runs prepared their images differently (see data below), {no}."]
    return []


def _unlike(runs: Sequence[RunFolder]) -> list[str]:
    """A sentence where likelihoods score images in different ways."""
    pixels = {run.name: Pixels.of(run) for run in runs}
    ways = {name: "a density" if p.is_density else f"{p.levels} levels" for name, p in pixels.items() if p}
    if len(set(ways.values())) < 2:
        return []
    told = ", ".join(f"{name} by {way}" for name, way in ways.items())
    return [f"These runs score pixels in different ways ({told}), so their losses and bounds in nats do not compare."]
