"""The numbers of an evaluation that matter most, each with a word of meaning; the rest stands in the file."""

from collections.abc import Mapping
from typing import Any

from vaelab.cli.tables import interval, say, say_features, show_table
from vaelab.io.formatting import counted, number
from vaelab.metrics.names import Number, numbers
from vaelab.runs.results import Results

COUNT = 10


def show_headlines(results: Results) -> None:
    """A table of ten lines, what could not be measured, and where the rest is."""
    shown = [(found, metric.values) for name, metric in results.metrics.items() for found in numbers(name, metric)]
    main = sorted((one for one in shown if one[0].about.rank), key=lambda one: one[0].about.rank)[:COUNT]
    rows = [_row(found, values) for found, values in main]
    head = f"{results.title}: {results.counted}"
    show_table(head, ["name", "value", "95 % interval", "meaning (↑ is better)"], rows, markdown=False)
    say_features(results)
    if missing := results.unavailable:
        say(f"not measured: {', '.join(missing)}; to learn why, name one: --metrics {next(iter(missing))}")
    more = counted(len(shown) - len(main), "more number")
    say(f"{more}, how each was measured, and notes: --all, or the file of metrics")


def _row(found: Number, values: Mapping[str, Any]) -> list[str]:
    about = found.about
    value = f"{found.value} of {values[about.of]}" if about.of in values else number(found.value)
    return [
        found.name,
        f"{value} {about.unit}".rstrip(),
        interval(found.interval),
        f"{about.meaning} {about.arrow}".rstrip(),
    ]
