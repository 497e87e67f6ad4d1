"""Results as they were stored: numbers by split and by weights, whatever an older or another program left out."""

import json

import pytest

from vaelab.io.hashing import short_hash
from vaelab.runs.folder import RunFolder
from vaelab.runs.results import Results

ENTRY = {"values": {"elbo": -60.5, "ess": None, "elbo_error": 0.5}, "protocol": {"images": 32, "extractor": "pixels"}}


@pytest.fixture
def run(tmp_path):
    """A run folder with weights of some kind, and numbers of its splits."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")

    def measure(file, weights, **more):
        report = {"model": weights, "metrics": {"likelihood": ENTRY}} | more
        (tmp_path / file).write_text(json.dumps(report))

    measure("metrics.json", "0" * 12)
    measure("metrics-valid.json", short_hash(tmp_path / "model.safetensors"))
    (tmp_path / "metrics-train.json").write_text('{"metrics": {}}')
    return RunFolder.read(tmp_path)


def test_numbers_by_split_and_those_of_the_present_weights(run):
    assert list(run.measured) == ["test", "valid"] and run.results("train") is None
    assert run.results() is run.results("test") and run.results().split == "test"
    assert run.current is run.results("valid") and run.values == {"elbo": -60.5, "elbo_error": 0.5}
    assert run.protocol("likelihood")["images"] == 32 and run.protocol("frechet") == {}
    told = " ".join(run.problems)
    assert "metrics-train.json is damaged or empty" in told
    assert RunFolder.read(run.path).is_outdated(run.results("test"))


def test_what_a_file_lacks_has_a_default(run):
    results = run.results("test")
    metric = results.metrics["likelihood"]
    assert (results.images is None and results.counted == "test images, some numbers of 32") or results.counted
    assert (metric.intervals, metric.curves, metric.notes) == ({}, {}, []) and metric.extractor() is None
    assert results.curve("likelihood", "iwae") == [] and results.curve("frechet", "x") == []
    assert list(results.only([]).metrics) == [] and results.only(None) is results


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"metrics": 3}', b'{"metrics": {"a": {"values": {"a": "1"}}}}'])
def test_what_are_no_results(tmp_path, text):
    (tmp_path / "metrics.json").write_bytes(text)
    assert Results.read(tmp_path / "metrics.json") is None
    assert Results.read(tmp_path / "nowhere.json") is None
