"""A run folder that an earlier vaelab wrote, in `before`: loaded, measured, told and carried on as one of today's."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(Path(__file__).parent / "before", tmp_path / "before"))


def typed(*words) -> str:
    found = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    return found.stdout


def test_its_model_decodes_as_it_did(run):
    model = vaelab.load(run)
    assert model.p_x(torch.zeros(1, 3)).mean.mean().item() == pytest.approx(0.4963746964931488, rel=1e-5)
    assert vaelab.sample(run, 2, seed=0, device="cpu").mean().item() == pytest.approx(0.4969707131385803, rel=1e-5)


def test_its_numbers_are_measured_again_as_they_were(run):
    before = json.loads((run / "metrics.json").read_text())
    after = vaelab.evaluate(run, metrics=["likelihood", "reconstruction"], device="cpu")
    assert set(before["metrics"]) == set(after["metrics"])  # those that were not measured again are kept
    assert (before["digest"], before["model"], before["images"]) == (after["digest"], after["model"], after["images"])
    for name in ("likelihood", "reconstruction"):
        old, new = before["metrics"][name], after["metrics"][name]
        assert new["values"] == pytest.approx(old["values"], rel=1e-4)
        assert new["protocol"] == old["protocol"]


def test_it_is_told_and_listed(run):
    typed("report", run)
    assert "−274" in (run / "report.html").read_text(encoding="utf-8")
    listed = typed("runs", run.parent)
    assert "before" in listed and "done" in listed


def test_it_stands_beside_a_run_of_today(run, tmp_path):
    other = vaelab.train("digits", "train.epochs=1", "objective=elbo", run=tmp_path / "today", device="cpu", quiet=True)
    vaelab.evaluate(other, metrics=["likelihood"], device="cpu")
    table = typed("compare", run, other, "--out", tmp_path / "out", "--no-figures")
    assert "before" in table and "today" in table and "elbo" in table


def test_it_is_carried_on(run):
    vaelab.train(run=run, resume=True, device="cpu", quiet=True)  # but the last images of its last epoch
    vaelab.train(str(run), "train.epochs=3", run=run, resume=True, device="cpu", quiet=True)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if row["kind"] == "epoch" and row["split"] == "valid"] == [1, 2, 2, 3]
    assert json.loads((run / "state.json").read_text())["state"] == "done"
