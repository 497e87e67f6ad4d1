"""Rows of a log as charts: loss, reconstruction, KL and β over the epochs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vaelab.folder import Folder, finite
from vaelab.report.charts import Chart, Points, Series, thinned
from vaelab.training.log import Row

COLOURS = 8  # that the page has; further runs begin again
NATS = "nats per image"
TERMS = {"loss": "Loss", "reconstruction": "Reconstruction", "kl": "KL"}
NOTES = {
    "loss": "In training as it was minimised, with the β of that moment; in validation at β = 1, which compares.",
    "reconstruction": "−log p(x | z), lower is better.",
    "kl": "How much a code tells of its image.",
    "beta": "The weight of the KL as it was applied.",
}


def curves_of(run: Folder) -> list[Chart]:
    """The charts of one run, training beside validation."""
    best = float(run.best["epoch"]) if run.best else None
    charts = []
    for key, title in TERMS.items():
        series = [
            Series("training", thinned(points(run.steps or run.train, key)), 1, faint=True),
            Series("validation", thinned(points(run.valid, key)), 0),
        ]
        charts.append(Chart(title, NATS, series, best, NOTES[key]))
    charts.append(
        Chart("β", "", [Series("β", thinned(points(run.steps or run.train, "beta")), 2)], best, NOTES["beta"])
    )
    return _drawn(charts)


def curves_of_all(runs: Sequence[Folder], names: Sequence[str]) -> list[Chart]:
    """The charts of several runs, a colour each: what was validated, and β; of a run without an epoch its steps."""
    charts = []
    for key, title in (TERMS | {"beta": "β"}).items():
        series = [
            Series(name, thinned(points(run.steps if key == "beta" else run.valid or run.steps, key)), i % COLOURS)
            for i, (run, name) in enumerate(zip(runs, names, strict=True))
        ]
        what = title if key == "beta" else f"{title}, validation"
        charts.append(Chart(what, "" if key == "beta" else NATS, series))
    return _drawn(charts)


def points(rows: Iterable[Row], key: str) -> Points:
    """Epoch and value of each row that has one."""
    return [(float(row["epoch"]), value) for row in rows if (value := finite(row, key)) is not None]


def _drawn(charts: Iterable[Chart]) -> list[Chart]:
    """Those that have something to draw, each with a key of its own."""
    whole = (replace(chart, series=[s for s in chart.series if s.points]) for chart in charts)
    return [replace(chart, key=f"chart-{i}") for i, chart in enumerate(whole) if chart.series]
