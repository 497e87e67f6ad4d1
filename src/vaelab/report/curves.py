"""Rows of a log as charts: loss, reconstruction, KL and β over the epochs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vaelab.report.charts import COLOURS, Chart, Points, Series, thinned
from vaelab.report.numbers import title_of
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Row, finite

NATS = "nats per image"
TERMS = {"loss": "Loss", "reconstruction": "Reconstruction", "kl": "KL"}
NOTES = {
    "loss": "In training as it was minimised, with the β of that moment; in validation at β = 1, which compares.",
    "reconstruction": "−log p(x | z), lower is better.",
    "kl": "How much a code tells of its image.",
    "beta": "The weight of the KL as it was applied.",
    "levels": "Of validation images; the levels add up to the KL.",
    "resolution": "Losses at different resolutions do not compare.",
    "alpha": "How far the newest block of the network has faded in.",
}
GROWTH = {"resolution": ("Resolution", "pixels"), "alpha": ("α", "")}


def curves_of(run: RunFolder) -> list[Chart]:
    """The charts of one run, training beside validation."""
    best = float(run.log.best["epoch"]) if run.log.best else None
    charts = []
    for key, title in TERMS.items():
        series = [
            Series("training", thinned(points(run.log.steps or run.log.train, key)), 1, faint=True),
            Series("validation", thinned(points(run.log.valid, key)), 0),
        ]
        charts.append(Chart(title, NATS, series, best, NOTES[key]))
    of_level = [
        Series(title_of(key).removeprefix("KL of "), thinned(points(run.log.valid, key)), i % COLOURS)
        for i, key in enumerate(_levels([run]))
    ]
    charts.append(Chart("KL of each level", NATS, of_level, best, NOTES["levels"]))
    for key, (title, unit) in ({"beta": ("β", "")} | GROWTH).items():
        series = [Series(title, thinned(points(run.log.steps or run.log.train, key)), 2)]
        charts.append(Chart(title, unit, series, best, NOTES[key]))
    return _drawn(charts)


def curves_of_all(runs: Sequence[RunFolder], names: Sequence[str]) -> list[Chart]:
    """The charts of several runs, a colour each: what was validated, of each level too, then β and how they grew.

    Of a run without an epoch they show its steps.
    """
    charts = []
    for key, title in (TERMS | {key: title_of(key) for key in _levels(runs)}).items():
        rows = [run.log.valid or run.log.steps for run in runs]
        charts.append(Chart(f"{title}, validation", NATS, _each(rows, names, key)))
    for key, (title, unit) in ({"beta": ("β", "")} | GROWTH).items():
        charts.append(Chart(title, unit, _each([run.log.steps or run.log.train for run in runs], names, key)))
    return _drawn(charts)


def points(rows: Iterable[Row], key: str) -> Points:
    """Epoch and value of each row that has one."""
    return [(float(row["epoch"]), value) for row in rows if (value := finite(row, key)) is not None]


def _each(rows: Iterable[Sequence[Row]], names: Sequence[str], key: str) -> list[Series]:
    """A curve for each run."""
    found = enumerate(zip(rows, names, strict=True))
    return [Series(name, thinned(points(of_run, key)), i % COLOURS) for i, (of_run, name) in found]


def _levels(runs: Sequence[RunFolder]) -> list[str]:
    """`kl_1`, `kl_2`, …, the KL of each level that a run logs, the top first."""
    found = {key for run in runs for row in run.log.rows for key in row if key.removeprefix("kl_").isdecimal()}
    return sorted(found, key=lambda key: int(key.removeprefix("kl_")))


def _drawn(charts: Iterable[Chart]) -> list[Chart]:
    """Those that have something to draw."""
    whole = (replace(chart, series=[s for s in chart.series if s.points]) for chart in charts)
    return [chart for chart in whole if chart.series]
