"""Metrics while training: when they are measured, what they decide, and that they disturb nothing."""

import math

import pytest
import torch
from safetensors.torch import load_file

from vaelab import registry
from vaelab.errors import UsageError
from vaelab.metrics.measurement import Measurement
from vaelab.runs.log import Log
from vaelab.training.options import Best

FRECHET = "{kind: frechet, extractor: pixels}"


def measured(folder) -> dict[int, float]:
    """The Fréchet distance by epoch."""
    return {r["epoch"]: r["frechet"] for r in Log.read(folder / "log.jsonl").rows if r["kind"] == "evaluation"}


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a, b) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.fixture
def watched():
    """Overrides that measure every second epoch."""
    return f"evaluate.metrics=[{FRECHET}]", "evaluate.every=2", "evaluate.n=40"


def test_measures_every_so_many_epochs_and_the_last(train, watched):
    assert list(measured(train("a", *watched))) == [2, 4]
    assert list(measured(train("b", *watched, "evaluate.every=3"))) == [3, 4]


def test_measuring_changes_nothing_else(train, watched):
    plain, watching = train("a"), train("b", *watched)
    assert same(weights(plain), weights(watching))
    losses = [[r["loss"] for r in Log.read(f / "log.jsonl").rows if "loss" in r] for f in (plain, watching)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_epoch_is_the_one_of_the_best_number(train, watched, mode):
    """Its weights are those of a run that stops there, and the log marks it."""
    folder = train("a", *watched, "evaluate.every=1", f"best={{metric: frechet, mode: {mode}}}")
    found = measured(folder)
    best = (min if mode == "min" else max)(found, key=found.get)
    rows = [r for r in Log.read(folder / "log.jsonl").rows if r["kind"] == "epoch" and r["split"] == "valid"]
    assert max(r["epoch"] for r in rows if r["best"]) == best
    until = train("b", *watched, f"evaluate.every={best}", "best={metric: frechet, mode: max}", f"train.epochs={best}",
                  "objective.beta={kind: linear, steps: 6}")  # fmt: skip
    assert same(weights(folder), weights(until))


def test_a_resumed_run_equals_an_uninterrupted_one(train, watched):
    choice = (*watched, "best={metric: frechet}")
    whole = train("a", *choice)
    train("b", *choice, "train.epochs=3")
    resumed = train("b", "train.epochs=4", resume=True)
    assert measured(whole) == {k: v for k, v in measured(resumed).items() if k != 3}
    assert set(measured(resumed)) - set(measured(whole)) <= {3}, "the last epoch of a shorter run is measured, too"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("best.metric=frechett", "'frechett' is not measured while training; did you mean 'frechet'"),
        ("best.mode=least", "best.mode"),
        ("evaluate.metrics=[frechte]", r"evaluate.metrics\[0\].kind: unknown metric 'frechte'"),
        ("evaluate.every=0", "evaluate.every: expected greater than 0"),
        ("evaluate.metrics=[{kind: frechet, extractor: squeezenet}]", "evaluate: frechet: .*squeezenet"),
        ("evaluate.metrics=[disentanglement]", "evaluate: disentanglement: .*factors"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_training(train, watched, override, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        train("a", *watched, override)
    assert not (tmp_path / "a").exists()


def test_patience_waits_for_measured_epochs_and_a_run_never_ends_without_a_model(train, watched):
    folder = train("a", *watched, "evaluate.every=3", "best.metric=frechet", "train.patience=1")
    assert list(measured(folder)) == [3, 4] and (folder / "model.safetensors").is_file()


def test_a_number_that_is_none_is_left_out_and_the_last_weights_are_kept(train, monkeypatch):
    monkeypatch.setitem(
        registry._TABLE["metric"], "broken", lambda split: Measurement({"broken": math.nan, "fine": 1.0})
    )
    choice = ("evaluate.metrics=[broken]", "train.epochs=1", "objective=elbo")
    folder = train("a", *choice)
    (row,) = (r for r in Log.read(folder / "log.jsonl").rows if r["kind"] == "evaluation")
    assert row["fine"] == 1.0 and "broken" not in row
    with pytest.raises(UsageError, match="'broken' is not measured while training"):
        train("b", *choice, "best.metric=broken")


def test_the_same_metric_twice_is_refused(train):
    with pytest.raises(UsageError, match=r"^evaluate: frechet stands twice"):
        train("a", f"evaluate.metrics=[{FRECHET}, frechet]")


def test_the_score_of_an_epoch():
    assert Best().score({"loss": 3.0}) == -3.0
    assert Best(metric="elbo", mode="max").score({"loss": 3.0, "elbo": -2.0}) == -2.0
    assert Best(metric="elbo").score({"loss": 3.0}) is None
