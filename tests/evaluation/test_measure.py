"""What is asked of metrics, what they are supplied with, and what becomes of those that cannot answer."""

import math

import pytest
import torch

import vaelab.recipe.recipe  # noqa: F401  # registers all parts
from vaelab import registry
from vaelab.data import load
from vaelab.errors import NotApplicable, UsageError, VaelabError
from vaelab.evaluation.measure import Target, draw, measure, specs
from vaelab.metrics.measurement import Measurement
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.sections import Evaluate

CPU = torch.device("cpu")


@pytest.fixture
def target():
    """An untrained model of bundled digits."""
    data = load("digits", train_size=60, valid_size=20, test_size=30)
    recipe = {
        "data": "shapes",
        "train": {"epochs": 1},
        "model": {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 8}},
    }
    model = Recipe.of(recipe).build_model(data.x_shape).eval()
    return Target(data=data, split="test", device=CPU, model=model)


@pytest.fixture
def metric(monkeypatch):
    """Registers a metric for this test alone."""

    def add(name, function):
        monkeypatch.setitem(registry._TABLE["metric"], name, function)

    return add


def test_options_reach_the_metrics_that_have_them():
    chosen, draws = specs(
        ["likelihood", "frechet", "active_units"],
        {"extractor": "pixels", "seed": 3, "n": 7, "likelihood": {"samples": 9}},
    )
    assert chosen["likelihood"] == {"kind": "likelihood", "seed": 3, "samples": 9}
    assert chosen["frechet"]["extractor"] == "pixels"
    assert chosen["active_units"] == {"kind": "active_units"}
    assert draws == Evaluate(metrics=(), n=7, seed=3)


@pytest.mark.parametrize(
    ("metrics", "given", "said"),
    [
        (["likelyhood"], {}, "unknown metric 'likelyhood'; did you mean 'likelihood'"),
        (["likelihood"], {"likelihood": {"sample": 1}}, "likelihood.sample: unknown option; did you mean 'samples'"),
        (["active_units"], {"extractor": "pixels"}, "extractor: no option of active_units; it is one of frechet"),
        (["active_units"], {"frechet": {"pca_dim": 2}}, "frechet: options of a metric that is not among active_units"),
        (["frechet"], {"extractor": "pixel"}, "unknown extractor 'pixel'; did you mean 'pixels'"),
        (["frechet"], {"frechet": 5}, "frechet: expected options like frechet.seed=1, got 5"),
        (["frechet"], {"n": 0}, "evaluate.n: expected greater than 0"),
        (["frechet"], {"sampler": "flaw"}, "unknown sampler 'flaw'; did you mean 'flow'"),
        (["frechet"], {"pixels": "means"}, "evaluate.pixels"),
    ],
)
def test_what_is_asked_wrongly_is_refused(metrics, given, said):
    with pytest.raises(UsageError, match=said):
        specs(metrics, given)


def test_one_metric_that_cannot_answer_does_not_stop_the_others(target, metric):
    def silent(split):
        raise NotApplicable("it has no labels; give some")

    metric("silent", silent)
    entries, unavailable = measure(specs(["silent", "reconstruction"], {})[0], target)
    assert list(entries) == ["reconstruction"]
    assert unavailable == {"silent": "it has no labels; give some"}


def test_a_metric_that_fails_does_not_stop_the_others(target, metric):
    def broken(split):
        raise VaelabError("features are not finite")

    metric("broken", broken)
    entries, unavailable = measure(specs(["broken", "reconstruction"], {})[0], target)
    assert list(entries) == ["reconstruction"] and unavailable == {"broken": "features are not finite"}


def test_each_entry_says_how_it_came_about(target):
    entries, _ = measure(specs(["frechet"], {"extractor": "pixels", "seed": 5, "n": 25})[0], target)
    entry = entries["frechet"]
    protocol = entry["protocol"]
    assert protocol["split"] == "test" and protocol["images"] == 30
    assert protocol["fakes"] == 30, "the draws are the target's own"
    assert protocol["extractor"].keys() >= {"name", "hash", "resize"} and protocol["seed"] == 5
    assert entry["versions"].keys() == {"vaelab", "torch", "numpy", "scikit-learn"} and entry["seconds"] >= 0


def test_samples_are_drawn_once_and_only_if_they_are_asked_for(target, metric, monkeypatch):
    drawn = []
    made = torch.zeros(3, 1, 8, 8).byte(), {}
    monkeypatch.setattr("vaelab.evaluation.measure.draw", lambda *args: drawn.append(args) or made)
    metric("one", lambda fake: Measurement({"one": len(fake)}))
    metric("two", lambda fake: Measurement({"two": fake.sum().item()}))
    measure({"active_units": {"kind": "active_units"}}, target)
    assert not drawn
    entries, _ = measure({"one": {"kind": "one"}, "two": {"kind": "two"}}, target)
    assert len(drawn) == 1 and entries["one"]["values"] == {"one": 3}


@pytest.mark.parametrize(("binarise", "expected"), [("none", "mean"), ("threshold", "sample")])
def test_samples_are_like_the_images_they_are_judged_by(target, binarise, expected):
    data = load("digits", train_size=60, valid_size=20, test_size=30, binarise=binarise)
    fake, protocol = draw(Evaluate(metrics=()), target.model, data, 11)
    assert fake.shape == (11, 1, 8, 8) and fake.dtype == torch.uint8
    assert (protocol["pixels"], protocol["fakes"]) == (expected, 11)
    assert bool(((fake == 0) | (fake == 255)).all()) == (expected == "sample")


def test_images_alone_have_no_model(target):
    alone = Target(data=target.data, split="test", device=CPU, made=target.data.valid.images)
    entries, unavailable = measure(specs(["likelihood", "sharpness"], {})[0], alone)
    assert list(entries) == ["sharpness"] and "only images" in unavailable["likelihood"]


def test_no_number_is_none(target, metric):
    metric("broken", lambda split: Measurement({"a": math.nan, "b": 1.0}, {"a": (0.0, math.inf)}))
    entries, _ = measure({"broken": {"kind": "broken"}}, target)
    assert entries["broken"]["values"] == {"a": None, "b": 1.0} and entries["broken"]["intervals"] == {"a": [0.0, None]}
