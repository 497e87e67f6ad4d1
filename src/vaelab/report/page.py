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

from vaelab.evaluation.comparison.judged import HARMLESS
from vaelab.io.formatting import counted, span, typeset
from vaelab.report.charts import bars
from vaelab.report.curves import curves_of, curves_of_all
from vaelab.report.diagnosis import diagnose
from vaelab.report.differences import differences
from vaelab.report.evidence import LEVELS
from vaelab.report.numbers import measured, side_by_side, tiles
from vaelab.report.pictures import exhibits
from vaelab.report.reading import Told
from vaelab.report.sentence import sentence
from vaelab.runs.folder import Folder, finite

HERE = Path(__file__).parent
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # what no page may hold, as in names of files
FIRST = ("generated_samples", "reconstructions")  # pictures that a reader looks for before all else


def page(runs: Sequence[Told], refused: Sequence[str] = ()) -> str:
    """The HTML of a report; `refused` says of what could not be shown at all."""
    folders, names = [run.folder for run in runs], [run.name for run in runs]
    described = [run.name for run in runs if run.folder.options]
    table, notes = side_by_side(runs) if len(runs) > 1 else ([], [])
    shown = exhibits(folders, names)
    known = {
        "runs": [_run(run) for run in runs],
        "title": names[0] if len(runs) == 1 else f"{len(runs)} runs side by side",
        "problems": [
            *refused,
            *_apart(runs),
            *_unlike(runs),
            *(_named(run, text, runs) for run in runs for text in run.problems),
        ],
        "tiles": tiles(runs[0]) if len(runs) == 1 else [],
        "charts": curves_of(folders[0]) if len(runs) == 1 else curves_of_all(folders, names),
        "first": [exhibit for exhibit in shown if exhibit.name in FIRST and exhibit.pictures],
        "rest": [exhibit for exhibit in shown if exhibit.name not in FIRST or not exhibit.pictures],
        "measured": measured(runs[0]) if len(runs) == 1 else [],
        "table": table,
        "notes": notes,
        "compared": described if len(described) > 1 else [],
        "differences": differences(_folders(runs)),
        "levels": LEVELS,
        "made": time.strftime("%d %B %Y, %H:%M"),
        "version": version("vaelab"),
        "style": Markup((HERE / "page.css").read_text(encoding="utf-8")),
        "script": Markup((HERE / "page.js").read_text(encoding="utf-8")),
    }
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), _template().render(known))


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _run(told: Told) -> dict[str, Any]:
    """What the template says of one run."""
    run, dimensions = told.folder, told.kl_per_dimension
    recipe = yaml.safe_dump(dict(run.options), sort_keys=False, allow_unicode=True) if run.options else ""
    return {
        "name": told.name,
        "path": str(run.path),
        "state": run.state,
        "reason": run.state.reason.removeprefix(f"{run.state.word} "),
        "ended": _ended(run),
        "sentence": sentence(run),
        "judged": told.judged,
        "findings": diagnose(told.evidence),
        "flat": "" if dimensions else _flat(told),
        "bars": Markup(bars(dimensions, told.threshold)) if dimensions else "",
        "carrying": f"{sum(bar.value >= told.threshold for bar in dimensions)} of {len(dimensions)}",
        "threshold": f"{told.threshold:g}",
        "levels": sorted({bar.level for bar in dimensions if bar.level}),
        "unmeasured": not told.reports and (run.path / "model.safetensors").exists(),
        "recipe": recipe,
        "made": run.made,
        "paper": paper if isinstance(paper := run.options.get("paper"), dict) else {},
        "bound": typeset(finite(run.best, "loss")) if run.best else "–",
        "bound_name": run.bound,
    }


def _flat(told: Told) -> str:
    """Why there are no bars of the KL of each dimension."""
    if "active_units" in told.current[1].get("metrics", {}):
        return f"{told.name}: this prior and posterior have no KL per dimension in closed form, so there are no bars."
    if not (told.folder.path / "model.safetensors").exists():
        return ""
    return f"{told.name}: the KL of each dimension was not measured of these weights yet; the metric active_units does"


def _ended(run: Folder) -> str:
    """How long it took and how it ended, in a few words."""
    length = f"{run.epoch} of {counted(run.epochs, 'epoch')}" if run.epochs else ""
    took = f"{span(run.state.seconds)} of training" if run.state.seconds else ""
    when = time.strftime("%d %B %Y, %H:%M", time.localtime(run.state.seen))
    return " · ".join(text for text in (length, took, when) if text)


def _apart(runs: Sequence[Told]) -> list[str]:
    """A sentence where runs are of different images."""
    sets = {run.name: run.folder.data for run in runs if run.folder.data}
    no, apart = "so their losses and numbers do not compare", {key for key, _ in differences(_folders(runs))}
    if len(set(sets.values())) > 1:
        told = ", ".join(f"{name} of {data}" for name, data in sets.items())
        return [f"These runs are of different data ({told}), {no}."]
    if "data.path" in apart:
        return [f"These runs are of images in different folders (see data.path below), {no}."]
    if any(key.startswith("data.") and key.removeprefix("data.") not in HARMLESS for key in apart):
        return [f"These runs prepared their images differently (see data below), {no}."]
    return []


def _unlike(runs: Sequence[Told]) -> list[str]:
    """A sentence where likelihoods score images in different ways."""
    pixels = {run.name: run.evidence.pixels for run in runs}
    ways = {name: "a density" if p.is_density else f"{p.levels} levels" for name, p in pixels.items() if p}
    if len(set(ways.values())) < 2:
        return []
    told = ", ".join(f"{name} by {way}" for name, way in ways.items())
    return [f"These runs score pixels in different ways ({told}), so their losses and bounds in nats do not compare."]


def _folders(runs: Sequence[Told]) -> list[Folder]:
    """Those whose recipe is known."""
    return [run.folder for run in runs if run.folder.options]


def _named(run: Told, text: str, runs: Sequence[Told]) -> str:
    return text if len(runs) == 1 else f"{run.name}: {text}"
