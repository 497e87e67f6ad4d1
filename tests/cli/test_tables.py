"""The ten numbers that matter fit a terminal, however large they are."""

import pytest

import vaelab.recipe.recipe  # noqa: F401  # registers all metrics
from vaelab.cli.tables import COUNT, show_headlines
from vaelab.metrics.names import about_metric, metric_of
from vaelab.registry import names
from vaelab.runs.results import MetricResult, Results

MAIN = {v.rank: name for m in names("metric") for name, v in about_metric(m).values.items() if v.rank}


def test_no_two_main_numbers_have_one_place():
    assert sorted(MAIN) == list(range(1, 17)) and list(MAIN.values()).count("elbo") == 1


@pytest.mark.parametrize("first", range(len(MAIN) - COUNT + 1))
def test_a_line_for_each_number_in_80_columns(first, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = [MAIN[rank] for rank in sorted(MAIN)][first : first + COUNT]
    metrics = {}
    for name in shown:
        found = metrics.setdefault(metric_of(name), MetricResult(values={}, protocol={"images": 10_000}))
        found.values[name], found.intervals[name] = -32_267.78, (-32_301.11, -32_220.02)
    show_headlines(Results(run="a", images=10_000, split="test", metrics=metrics))
    head, columns, *rest = capsys.readouterr().out.splitlines()
    assert head.rstrip() == "a: 10,000 test images" and columns.endswith("meaning (↑ is better)")
    for name, line in zip(shown, rest[:COUNT], strict=True):
        assert line.split()[:2] == [name, "-32,267.78"] and about_metric(metric_of(name)).values[name].meaning in line
    assert not rest[COUNT].strip()


def test_numbers_of_features_say_whose(capsys):
    extractor = {"name": "pixels", "hash": "0123456789ab", "resize": "none"}
    protocol = {"images": 64, "extractor": extractor}
    entry = {"values": {"frechet": 3.25}, "intervals": {}, "protocol": protocol, "notes": []}
    show_headlines(Results(run="a", images=64, split="test", metrics={"frechet": MetricResult(**entry)}))
    assert "features: pixels 0123456789ab" in capsys.readouterr().out
