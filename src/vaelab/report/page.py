"""The page of a report: what is known of the runs, laid into one template with its style and script inside."""

import re
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vaelab.io.formatting import counted, span, typeset
from vaelab.report.charts import Bar, bars
from vaelab.report.curves import curves_of, curves_of_all
from vaelab.report.diagnosis import diagnose
from vaelab.report.differences import differences
from vaelab.report.finding import LEVELS
from vaelab.report.learned import threshold
from vaelab.report.numbers import measured, side_by_side, tiles
from vaelab.report.pictures import exhibits
from vaelab.report.pixels import Pixels
from vaelab.report.sentence import sentence
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Log, finite
from vaelab.runs.recipe import OF_TEST_IMAGES

HERE = Path(__file__).parent
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # what no page may hold, as in names of files


def page(runs: Sequence[RunFolder], refused: Sequence[str] = ()) -> str:
    """The HTML of a report; `refused` says of what could not be shown at all."""
    names, described = [run.name for run in runs], [run for run in runs if run.recipe.sections]
    shown, differing = exhibits(runs), differences(described)
    known = {
        "runs": [_run(run) for run in runs],
        "title": f"{len(runs)} runs side by side",
        "problems": [*refused, *_apart(runs, differing), *_unlike(runs), *_problems(runs)],
        "first": [exhibit for exhibit in shown if exhibit.first and exhibit.pictures],
        "rest": [exhibit for exhibit in shown if not exhibit.first or not exhibit.pictures],
        "compared": [run.name for run in described] if len(described) > 1 else [],
        "differences": differing,
        "levels": LEVELS,
        "made": time.strftime("%d %B %Y, %H:%M"),
        "version": version("vaelab"),
        "style": Markup((HERE / "page.css").read_text(encoding="utf-8")),
        "script": Markup((HERE / "page.js").read_text(encoding="utf-8")),
        "tiles": [],
        "measured": [],
        "table": [],
        "notes": [],
    }
    if len(runs) == 1:
        known |= {"title": names[0], "tiles": tiles(runs[0]), "charts": curves_of(runs[0])}
        known |= {"measured": measured(runs[0])}
    else:
        known |= {"charts": curves_of_all(runs, names)}
        known["table"], known["notes"] = side_by_side(runs)
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), _template().render(known))


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _run(run: RunFolder) -> dict[str, Any]:
    """What the template says of one run."""
    dimensions, used, sections = _dimensions(run), threshold(run), dict(run.recipe.sections)
    return {
        "name": run.name,
        "path": str(run.path),
        "state": run.state,
        "reason": run.state.reason.removeprefix(f"{run.state.word} "),
        "ended": _ended(run),
        "sentence": sentence(run),
        "judged": _judged(run.log.last_stage),
        "findings": diagnose(run),
        "flat": "" if dimensions else _flat(run),
        "bars": Markup(bars(dimensions, used)) if dimensions else "",
        "carrying": f"{sum(bar.value >= used for bar in dimensions)} of {len(dimensions)}",
        "threshold": f"{used:g}",
        "levels": sorted({bar.level for bar in dimensions if bar.level}),
        "unmeasured": not run.measured and run.has_model,
        "recipe": yaml.safe_dump(sections, sort_keys=False, allow_unicode=True) if sections else "",
        "made": run.recipe.provenance,
        "paper": run.recipe.section("paper"),
        "bound": typeset(finite(run.log.best, "loss")) if run.log.best else "–",
        "bound_name": run.recipe.bound,
    }


def _judged(stage: Log) -> str:
    """`the last stage (16 pixels, epochs 13–24)` where the diagnosis looks at no more, else ""."""
    if not stage.earlier or not stage.train:
        return ""
    first, last = stage.train[0]["epoch"], stage.train[-1]["epoch"]
    epochs = f"epochs {first:g}–{last:g}" if last > first else f"epoch {first:g}"
    return f"the last stage ({stage.train[0]['resolution']:g} pixels, {epochs})"


def _dimensions(run: RunFolder) -> list[Bar]:
    """`z7`, its KL in nats and its level, the largest first; nothing where that was not measured."""
    levels = [level for level, size in enumerate(run.recipe.levels, 1) for _ in range(size)]
    curve = run.current.curve("active_units", "kl_per_dimension") if run.current else []
    known = [(int(d), kl) for d, kl in curve]
    found = [Bar(f"z{d}", kl, levels[d - 1] if 0 < d <= len(levels) else None) for d, kl in known]
    return sorted(found, key=lambda bar: -bar.value)


def _flat(run: RunFolder) -> str:
    """Why there are no bars of the KL of each dimension."""
    if run.current and "active_units" in run.current.metrics:
        return f"{run.name}: this prior and posterior have no KL per dimension in closed form, so there are no bars."
    if not run.has_model:
        return ""
    return f"{run.name}: the KL of each dimension was not measured of these weights yet; the metric active_units does"


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


def _problems(runs: Sequence[RunFolder]) -> list[str]:
    """What is wrong with each."""
    return [text if len(runs) == 1 else f"{run.name}: {text}" for run in runs for text in run.problems]
