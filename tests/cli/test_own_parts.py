"""A metric and a figure from a plugin, one file each: measured, compared, drawn and told as those of the package."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vaelab
import vaelab.evaluation.figures
import vaelab.recipe.recipe  # registers all parts
from vaelab import registry
from vaelab.cli import app
from vaelab.registry import plugins

METRIC = '''
"""Contrast of generated images."""

from torch import Tensor

from vaelab.data.source import Split
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.registry import register


@register("metric", "contrast", About("Contrast", {"contrast": Value("Contrast of samples", "grey levels", "higher")}))
def contrast(split: Split, fake: Tensor) -> Measurement:
    """The mean over images of the standard deviation of their pixels."""
    return Measurement.over_images({"contrast": fake.float().flatten(1).std(1)})
'''
FIGURE = '''
"""Brightness of images."""

from matplotlib.figure import Figure

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.figures.about import About
from vaelab.figures.style import blank, house
from vaelab.registry import register


@register("figure", "brightness", About("Brightness", "How bright images <of the set> are."))
@house
def brightness(split: Split, *, title: str = "Brightness") -> Figure:
    """A histogram of the mean grey level of each image."""
    if len(split) < 2:
        raise NotApplicable("it needs two images")
    figure = blank(4, 3)
    figure.subplots().hist(split.images.float().flatten(1).mean(1).numpy())
    return figure
'''
RECIPE = {"data": {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 40}, "objective": "elbo"}
RECIPE |= {
    "model": {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 8}},
    "train": {"epochs": 1, "batch_size": 32},
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """`own(*words)` types a command with both plugins, whose parts are gone after the test."""
    for role in ("metric", "figure"):
        monkeypatch.setitem(registry._TABLE, role, dict(registry._TABLE[role]))
    monkeypatch.setattr(registry, "_ABOUT", dict(registry._ABOUT))
    monkeypatch.setattr(plugins, "_PRESENT", {})
    (tmp_path / "contrast.py").write_text(METRIC)
    (tmp_path / "brightness.py").write_text(FIGURE)
    named = ["--plugin", str(tmp_path / "contrast.py"), "--plugin", str(tmp_path / "brightness.py")]

    def typed(*words: object) -> str:
        result = CliRunner().invoke(app, [*map(str, words), *named], env={"COLUMNS": "200"})
        assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
        return " ".join(result.output.split())

    return typed


def test_a_metric_and_a_figure_of_one_file_each_are_told_like_those_of_the_package(own, tmp_path):
    (tmp_path / "tiny.yaml").write_text(json.dumps(RECIPE))
    run = vaelab.train(str(tmp_path / "tiny.yaml"), run=tmp_path / "a", device="cpu", quiet=True)
    other = Path(shutil.copytree(run, tmp_path / "b"))
    told = own("evaluate", run, "--metrics", "contrast", "--device", "cpu")
    assert re.search(r"contrast contrast [\d.]+ [\d.]+ … [\d.]+ grey levels", told), "the table of evaluate"
    entry = json.loads((run / "metrics.json").read_text())["metrics"]["contrast"]
    assert entry["about"] == {"contrast": {"title": "Contrast of samples", "unit": "grey levels", "better": "higher"}}

    own("evaluate", other, "--metrics", "contrast", "-n", 40, "seed=1", "--device", "cpu")
    own("compare", run, other, "--no-figures", "--out", tmp_path / "out")
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert re.search(r"\| contrast +\| grey levels ↑ \|", table) and table.count("**") == 4, "a best one, and the key"
    assert ",Contrast of samples,grey levels,higher" in (tmp_path / "out" / "comparison.csv").read_text()

    assert "brightness.png" in own("figures", run, "brightness")
    page = (run / "report.html").read_text()
    caption = "How bright images &lt;of the set&gt; are."
    for words in (">Brightness</h3>", caption, "Contrast of samples", "grey levels"):
        assert words in page
    both = Path(tmp_path / "both.html")
    own("report", run, other, "--out", both)
    assert "Contrast of samples" in both.read_text() and "grey levels" in both.read_text()
