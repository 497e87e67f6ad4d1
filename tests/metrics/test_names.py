"""Names of metrics: those that tables print are taken, those of other programs get a hint."""

import pytest
import torch

from vaelab.errors import UsageError
from vaelab.evaluation.measure import Target, measure, specs
from vaelab.metrics.names import about_metric, about_number, metric_of, numbers, quick, stored
from vaelab.recipe.recipe import Recipe
from vaelab.registry import names
from vaelab.registry.schema import build
from vaelab.runs.results import MetricResult


@pytest.fixture(scope="module")
def measured():
    """The numbers of every metric that a small model on shapes, whose factors are known, has."""
    data = build("data", {"kind": "shapes", "count": 300, "size": 16}).load(None)
    model = {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 4}}
    recipe = Recipe.of({"data": "shapes", "model": model, "train": {"epochs": 1}})
    torch.manual_seed(0)
    target = Target(data=data, split="test", device=torch.device("cpu"), model=recipe.build_model(data.x_shape).eval())
    few = {"likelihood": {"samples": 2}, "ais": {"temperatures": 2, "chains": 1, "images": 2}}
    options = few | {"disentanglement": {"trees": 2, "votes": 20}}
    chosen, _ = specs([name for name in names("metric") if name != "lpips"], options | {"extractor": "pixels"})
    entries, unavailable = measure(chosen, target)
    assert not unavailable
    return {name: entry["values"] for name, entry in entries.items()}


def test_every_number_that_a_table_prints_names_its_metric(measured):
    assert {number: metric_of(number) for values in measured.values() for number in values} == {
        number: name for name, values in measured.items() for number in values
    }
    assert metric_of("kl_2") == "likelihood"


def test_every_metric_declares_its_numbers_and_no_others(measured):
    for name, values in measured.items():
        declared = {number for number in about_metric(name).values if not number.startswith("kl_")}
        assert declared == {number for number in values if not number.endswith("_error")}


def test_a_number_of_a_level_is_named_by_it():
    assert about_number("likelihood", "kl_1").title == "KL of level 1 (top)"
    assert about_number("likelihood", "kl_12").title == "KL of level 12" and about_number("likelihood", "kl_2").unit


def test_what_is_stored_with_a_number_stands_in_for_a_metric_that_is_not_there():
    about = {"grey": {"title": "Grey", "unit": "%"}}
    entry = MetricResult(values={"grey": 1.0, "grey_error": 0.1}, protocol={}, about=about)
    (found,) = numbers("of a plugin", entry)
    assert (found.about.title, found.about.unit, found.about.better) == ("Grey", "%", None)
    assert numbers("of a plugin", entry.model_copy(update={"about": {}}))[0].about.title == "Grey"
    assert stored("frechet", ["frechet", "else"]) == {
        "frechet": {"title": "Fréchet distance", "unit": "", "better": "lower"}
    }


def test_the_quick_metrics_are_all_but_those_that_take_long_with_main_numbers_first():
    assert set(names("metric")) - set(quick()) == {"ais", "sharpness"}
    assert quick()[:4] == ["likelihood", "active_units", "aggregate", "reconstruction"]


def test_a_number_stands_for_its_metric_once():
    chosen, _ = specs(["elbo", "likelihood", "psnr", "iwae"], {})
    assert list(chosen) == ["likelihood", "reconstruction"] and list(specs("elbo", {})[0]) == ["likelihood"]


@pytest.mark.parametrize("name", ["fid", "kid", "is", "nll", "bpd", "prdc", "mmd", "dci"])
def test_usual_names_get_a_hint_that_names_a_metric(name):
    with pytest.raises(UsageError, match=f"unknown metric '{name.upper()}'") as error:
        specs([name.upper()], {})
    assert any(metric in str(error.value) for metric in names("metric"))


def test_a_number_that_is_misspelt_is_hinted_at():
    with pytest.raises(UsageError, match="did you mean 'bits_per_dim'"):
        specs(["bit_per_dim"], {})
