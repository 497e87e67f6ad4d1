"""What ends a run, what is kept of it, and what is never lost."""

import gc
import math

import pytest
import torch
from safetensors.torch import load_file

from vaelab.errors import Diverged, UsageError, VaelabError
from vaelab.model import VAE
from vaelab.runs.state import read_state
from vaelab.training import loop as engine
from vaelab.workbench import load

FLOW = "{kind: flow, flow: {kind: coupling, layers: 2, width: 8}}"


def scripted(monkeypatch, losses: list[float]) -> None:
    """Validation that says what it is told."""
    left = iter(losses)
    monkeypatch.setattr(engine, "validate", lambda *_: {"loss": next(left), "reconstruction": 1.0, "kl": 0.0})


def poisoned(monkeypatch, step: int, term: str) -> None:
    """A model that breaks at a step."""
    forward, calls = VAE.forward, []

    def broken(self, *args, **options):
        terms = forward(self, *args, **options)
        calls.append(self.training)
        return terms._replace(**{term: getattr(terms, term) * math.nan}) if sum(calls) == step + 1 else terms

    monkeypatch.setattr(VAE, "forward", broken)


def checkpoint(run) -> dict:
    return torch.load(run / "last.pt", weights_only=True)


def test_a_run_that_diverges_names_step_term_and_remedy(train, tmp_path):
    with pytest.raises(VaelabError) as error:
        train("a", "train.lr=1e30")
    assert error.value.exit_code == 1
    said = str(error.value)
    assert said.startswith(
        ("reconstruction is no longer a finite number at step 1;", "kl is no longer a finite number at step 1;")
    )
    for advice in ("smaller train.lr", "train.clip_norm", "train.precision=float32", "no checkpoint was due yet"):
        assert advice in said
    assert not (tmp_path / "a" / "last.pt").exists() and not (tmp_path / "a" / "model.safetensors").exists()


@pytest.mark.parametrize(("field", "term"), [("log_px", "reconstruction"), ("kl", "kl")])
@pytest.mark.parametrize("log_steps", [1, 4, 50])
def test_the_last_good_checkpoint_stays(train, largest_gap, rows, tmp_path, monkeypatch, field, term, log_steps):
    options = (f"train.log_steps={log_steps}",)
    whole, run = train("whole", *options), tmp_path / "a"
    with monkeypatch.context() as patch:
        poisoned(patch, 14, field)
        said = rf"^{term} is no longer a finite number at step 14; .*checkpoint is {run}/last.pt"
        with pytest.raises(Diverged, match=said) as error:
            train("a", *options)
    assert (error.value.term, error.value.step) == (term, 14) == read_state(run, False).diverged
    assert checkpoint(run)["progress"]["step"] == 12
    assert all(p.isfinite().all() for p in load(run).parameters())
    assert train("a", resume=True) == run
    assert largest_gap(whole, run) == 0.0
    assert rows(whole) == rows(run)


def test_weights_that_break_in_the_last_step_of_an_epoch_reach_no_checkpoint(train, tmp_path):
    with pytest.raises(VaelabError, match=r"is no longer a finite number at step 1;"):
        train("a", "train.batch_size=96", "train.lr=1e30", "objective.beta=1")  # one step per epoch, of a finite loss
    assert not (tmp_path / "a" / "last.pt").exists() and not (tmp_path / "a" / "model.safetensors").exists()


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_validation_that_is_no_number_stops_the_run(train, tmp_path, monkeypatch, broken):
    scripted(monkeypatch, [5.0, broken])
    with pytest.raises(VaelabError, match="loss is no longer a finite number at step 12"):
        train("a")
    assert checkpoint(tmp_path / "a")["progress"]["step"] == 6


def test_patience_counts_epochs_without_a_better_bound(train, rows, monkeypatch):
    scripted(monkeypatch, [10, 9, 9, 8, 8.5, 8.0, 8.1, 1, 1, 1])
    run = train("a", "train.epochs=10", "train.patience=3", "objective.beta=1")
    assert [row["best"] for row in rows(run, kind="epoch", split="valid")] == [
        True,
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert checkpoint(run)["progress"] == {"step": 42, "best": -8.0, "stale": 3, "sums": {}, "steps": 0}


def test_without_patience_a_run_has_its_length(train, rows, monkeypatch):
    scripted(monkeypatch, list(range(10)))
    assert len(rows(train("a", "train.epochs=10"), kind="epoch", split="valid")) == 10


@pytest.mark.parametrize(
    "section", ["objective.beta={kind: linear, epochs: 4}", "objective.capacity={kind: linear, end: 5, epochs: 4}"]
)
def test_patience_begins_when_the_warm_up_has_ended(train, rows, monkeypatch, section):
    scripted(monkeypatch, list(range(10)))
    run = train("a", "train.epochs=10", "train.patience=2", "objective.beta=1", section)
    assert len(rows(run, kind="epoch", split="valid")) == 5  # of epochs 4 and 5 the objective was the final one


def test_the_model_is_of_the_best_epoch(train, monkeypatch):
    scripted(monkeypatch, [5, 3, 4, 3])
    seen = []

    def look(model, data, epoch, step, *_):
        assert not model.training
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        assert (epoch, step) == (len(seen), 6 * len(seen))

    monkeypatch.setattr("vaelab.evaluation.epochs.keep_pictures", look)
    best = load_file(train("a", "objective.beta=1") / "model.safetensors")
    assert all(torch.equal(seen[1][k], best[k]) for k in best)
    assert not all(torch.equal(seen[3][k], best[k]) for k in best)


def test_validation_is_the_bound_at_a_weight_of_one(train, rows):
    """Whatever β is while training: the same weights, so the same bound."""
    bounds = [
        rows(train(name, f"objective.beta={beta}", "train.lr=1e-12", "train.epochs=1"), kind="epoch", split="valid")[0]
        for name, beta in (("a", 0.0), ("b", 10.0))
    ]
    assert bounds[0]["loss"] == pytest.approx(bounds[1]["loss"], rel=1e-6)


def test_checkpoints_come_as_often_as_asked_and_at_the_end(train, monkeypatch):
    saved = []
    save_checkpoint = engine.save_checkpoint
    monkeypatch.setattr(
        engine, "save_checkpoint", lambda path, state: saved.append(state.progress.step) or save_checkpoint(path, state)
    )
    train("a", "train.epochs=5", "train.save_every=2")
    assert saved == [12, 24, 30]


def test_two_runs_of_a_seed_are_equal_and_of_two_seeds_are_not(train, largest_gap):
    a, b, c = train("a"), train("b"), train("c", "train.seed=1")
    assert largest_gap(a, b) == 0.0
    assert largest_gap(a, c) > 0


def test_every_epoch_has_each_image_once_in_an_order_of_its_own(train, parts, batches_of):
    batches = batches_of(lambda: train("a"))
    assert [len(batch) for batch in batches] == [16] * 24
    epochs = [torch.cat(batches[i : i + 6]).flatten(1) for i in range(0, 24, 6)]
    images = parts().data.train.images.flatten(1)
    for i, epoch in enumerate(epochs):
        assert sorted(epoch.tolist()) == sorted(images.tolist())
        assert not any(torch.equal(epoch, other) for other in [images, *epochs[:i]])


def test_an_epoch_has_each_image_once_also_where_batches_do_not_divide_it(train, parts, batches_of, rows):
    batches = batches_of(lambda: train("a", "train.batch_size=40", "objective.beta=1"))
    assert [len(batch) for batch in batches] == [40] * 10  # 4 · 96 images take 9.6 batches
    seen, images = torch.cat(batches).flatten(1), parts().data.train.images.flatten(1)
    for epoch in seen[: 4 * 96].split(96):
        assert sorted(epoch.tolist()) == sorted(images.tolist())
    run = train("b", "train.batch_size=40", "objective.beta=1")
    assert [row["step"] for row in rows(run, kind="epoch", split="valid")] == [3, 5, 8, 10]
    assert [row["epoch"] for row in rows(run, kind="epoch", split="valid")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "overrides",
    [
        ("objective={kind: iwae, samples: 3}",),
        ("objective={kind: iwae, samples: 3, doubly_reparameterised: true}",),
        ("model.likelihood={kind: normal, fit: optimal}",),
        ("data.binarise=dynamic", "data.flip=true"),
        ("model.condition=[encoder, decoder, prior]", "model.prior={kind: mixture, components: 20}"),
        ("model.condition=[prior]", "model.prior={kind: exemplar, components: 30, per_step: 12}"),
        ("model.prior={kind: vamp, components: 9, init: kmeans}", f"model.posterior={FLOW}"),
        ("data={kind: shapes, count: 120, size: 8, channels: 3, train_size: 96}", "model.backbone=conv"),
    ],
    ids=["iwae", "dreg", "optimal-sigma", "dynamic", "labels", "exemplar", "vamp-flow", "conv"],
)
def test_every_kind_of_run_resumes_exactly(train, largest_gap, rows, overrides):
    objective = () if "iwae" in overrides[0] else ("objective.beta=1",)
    whole = train("whole", *objective, *overrides, "train.epochs=2")
    train("half", *objective, *overrides, "train.epochs=1")
    assert largest_gap(whole, train("half", "train.epochs=2", resume=True)) == 0.0


def test_a_warm_up_longer_than_the_run_is_refused_with_the_fix(train):
    with pytest.raises(
        UsageError, match=r"schedules end at epoch 9, but the run has 4 epochs; .* objective.beta.epochs=4"
    ):
        train("a", "objective.beta={kind: linear, epochs: 9}")
    with pytest.raises(UsageError, match="lr_warmup_steps 54 is longer than the run of 24 steps"):
        train("a", "train.lr_warmup_epochs=9")


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.draw_every=1", "evaluate.metrics=[{kind: frechet, extractor: pixels}]", "train.epochs=1"),
        ("model.prior={kind: vamp, components: 9, init: kmeans}", f"model.posterior={FLOW}"),
        ("data.pad=4", "model.backbone={kind: progressive, start_res: 8, epochs_per_stage: 1}"),
    ],
    ids=["watched", "vamp-flow", "growing"],
)
def test_no_model_outlives_its_training(train, interrupt_at, overrides):
    """Nor its average, also of a run that was stopped; without the collector of cycles, which may take long to come."""

    def models() -> int:
        return sum(issubclass(type(thing), VAE) for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    before = models()
    try:
        train("a", "objective.beta=1", *overrides)
        interrupt_at({2})
        with pytest.raises(UsageError, match="stopped at step 3"):
            train("b", "objective.beta=1", *overrides)
        assert models() == before
    finally:
        gc.enable()
