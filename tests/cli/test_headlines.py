"""The ten numbers that matter fit a terminal, however large they are."""

import pytest

from vaelab.cli.headlines import COUNT, MEANINGS, show_headlines


@pytest.mark.parametrize("first", range(len(MEANINGS) - COUNT + 1))
def test_a_line_for_each_number_in_80_columns(first, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = list(MEANINGS)[first : first + COUNT]
    values, ends = dict.fromkeys(names, -32_267.78), dict.fromkeys(names, (-32_301.11, -32_220.02))
    entry = {"values": values, "intervals": ends, "protocol": {"images": 10_000}, "notes": []}
    show_headlines({"run": "a", "images": 10_000, "split": "test", "metrics": {"any": entry}, "unavailable": {}})
    head, columns, *rest = capsys.readouterr().out.splitlines()
    assert head.rstrip() == "a: 10,000 test images" and columns.endswith("meaning (↑ is better)")
    for name, line in zip(names, rest[:COUNT], strict=True):
        assert line.split()[:2] == [name, "-32,267.78"] and line.rstrip().endswith(MEANINGS[name])
    assert not rest[COUNT].strip()


def test_numbers_of_features_say_whose(capsys):
    extractor = {"name": "pixels", "hash": "0123456789ab", "resize": "none"}
    protocol = {"images": 64, "extractor": extractor}
    entry = {"values": {"frechet": 3.25}, "intervals": {}, "protocol": protocol, "notes": []}
    show_headlines({"run": "a", "images": 64, "split": "test", "metrics": {"frechet": entry}, "unavailable": {}})
    assert "features: pixels 0123456789ab" in capsys.readouterr().out
