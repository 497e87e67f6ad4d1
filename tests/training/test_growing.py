"""Training a model that grows: the stage that is logged is the one applied, and what waits until it is complete."""

from pathlib import Path

import pytest
import torch

from vaelab.errors import UsageError
from vaelab.performance import compiling_steps
from vaelab.roles import Growth
from vaelab.training import loop as engine
from vaelab.training.optimiser import Adam
from vaelab.training.process_group import ProcessGroup
from vaelab.training.step import TrainState
from vaelab.workbench import load, plot

HERE = ProcessGroup(0, 1, torch.device("cpu"))
SMALL = "start_res: 4, base_channels: 8, min_channels: 4, epochs_per_stage: 1"
PLAIN = ("data.pad=4", "objective.beta=1", f"model.backbone={{kind: progressive, {SMALL}}}")  # 4, 8 and 16 pixels
STAGES = ("train.epochs=4", "train.log_steps=1")  # of 6 steps each; the last one has two epochs
LEVELS = (*PLAIN, "model.latent_dim=[2, 3]")
KINDS = {
    "plain": PLAIN,
    "reset": (*PLAIN, "train.at_stage=reset"),
    "long-fade": (*PLAIN, "model.backbone.fadein_ratio=1.0", "model.backbone.stage_weight=one"),
    "residual": (
        *PLAIN,
        f"model.backbone={{kind: progressive_residual, {SMALL}}}",
        "model.latent_dim=[2, 1, 2]",
        "model.posterior=residual",
        "objective.beta={kind: per_stage, steps: 4, stages: [0, 2]}",
    ),
    "pyramid": (
        *PLAIN,
        f"model.backbone={{kind: progressive_residual, {SMALL}}}",
        "model.latent_dim=[2, 1, 2]",
        "model.posterior=residual",
        "model.likelihood=pyramid",
        "train.at_stage=reset",
    ),
    "two-level": (
        *LEVELS,
        "model.posterior={kind: two_level, width: 8}",
        "model.prior={kind: two_level, width: 8, top: {kind: vamp, components: 5}}",
    ),
    "ladder": (
        *LEVELS,
        "model.posterior={kind: ladder, width: 8}",
        "model.prior=ladder",
        "objective={kind: elbo, level_nats: 0.5}",
        "train.at_stage=reset",
    ),
}


def complete(net: torch.nn.Module) -> bool:
    growth = net.growth
    return growth.stage == growth.stages - 1 and not growth.fading and growth.alpha.item() == 1


def applied(monkeypatch) -> list[tuple[dict, int]]:
    """What each training step begins with: the state of the growth, and the side of what the decoder gives."""
    seen, update = [], TrainState._update

    def spied(self, batch, *rest):
        growth, sides = self.model.growth, []
        handle = self.model.decoder.register_forward_hook(lambda _, __, output: sides.append(output.shape[-1]))
        scalars = update(self, batch, *rest)
        handle.remove()
        seen.append(({"resolution": growth.resolutions[growth.stage], "alpha": growth.alpha.item()}, *sides))
        return scalars

    monkeypatch.setattr(TrainState, "_update", spied)
    return seen


@pytest.mark.parametrize("kind", ["plain", "long-fade", "residual"])
def test_the_logged_stage_is_the_one_applied(train, rows, monkeypatch, kind):
    seen = applied(monkeypatch)
    steps = rows(train("a", *KINDS[kind], *STAGES), kind="step")
    growth = Growth([4, 8, 16], 6, 6 if kind == "long-fade" else 3)
    assert len(steps) == len(seen) == 24
    for i, (row, (state, side)) in enumerate(zip(steps, seen, strict=True)):
        expected = growth.at(i)
        assert {k: row[k] for k in ("resolution", "alpha")} == pytest.approx(expected)
        assert state == pytest.approx(expected) and side == expected["resolution"]


def test_epoch_rows_have_the_mean_of_alpha(train, rows):
    found = rows(train("a", *KINDS["plain"], "train.epochs=4"), kind="epoch", split="train")
    assert [row["resolution"] for row in found] == [4, 8, 16, 16]
    assert [row["alpha"] for row in found] == pytest.approx([1, 4 / 6, 4 / 6, 1])


def test_a_weight_rises_anew_in_each_listed_stage(train, rows):
    steps = rows(train("a", *KINDS["residual"], *STAGES), kind="step")
    rise = [0, 0.25, 0.5, 0.75, 1, 1]
    assert [row["beta"] for row in steps] == pytest.approx([*rise, *[1] * 6, *rise, *[1] * 6])
    assert [row["beta"] for row in steps][6] == 1


def test_the_levels_of_stages_that_are_to_come_have_no_kl(train, rows):
    for row in rows(train("a", *KINDS["residual"], *STAGES), kind="step"):
        levels = [row[f"kl_{n}"] for n in (1, 2, 3)]
        stage = {4: 0, 8: 1, 16: 2}[row["resolution"]]
        assert all(levels[: stage + 1]) and not any(levels[stage + 1 :])
        assert sum(levels) == pytest.approx(row["kl"], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_stops_while_a_stage_fades_in_resumes_exactly(train, largest_gap, rows, interrupt_at, kind):
    """After steps 7 and 15, where α is on its way from 0 to 1, and at the border of two stages."""
    options = (*KINDS[kind], *STAGES)
    whole = train("whole", *options)
    pending = interrupt_at({6, 11, 14})
    half = whole.parent / "half"
    for resume, done in ((False, 7), (True, 12), (True, 15)):
        with pytest.raises(UsageError, match=rf"stopped at step {done}, (in|after) epoch \d; resume"):
            train("half", *(() if resume else options), resume=resume)
    train("half", resume=True)
    assert not pending
    assert largest_gap(whole, half) == 0.0
    assert rows(whole, kind="step") == rows(half, kind="step")


def test_a_run_that_stops_before_it_is_complete_has_the_figures_of_its_log(train, interrupt_at, tmp_path):
    interrupt_at({9})
    with pytest.raises(UsageError, match="stopped at step 10"):
        train("half", *PLAIN, *STAGES)
    with pytest.warns(UserWarning, match="there is no model yet, so only figures of the log are drawn"):
        drawn = plot(tmp_path / "half", device="cpu")
    assert {"training_losses", "timeline", "kl_ratio"} <= {path.stem for path in drawn}
    assert not {"generated_samples", "reconstructions"} & {path.stem for path in drawn}
    assert all(path.stat().st_size > 5000 for path in drawn)


@pytest.mark.parametrize("at_stage", ["carry", "reset"])
def test_adam_forgets_in_the_first_step_of_a_stage_or_never(train, monkeypatch, at_stage):
    """And counts the updates of each block from its birth, also where the others are carried on."""
    seen, update = [], Adam.step

    def spied(self, gradients, rates):
        moved = update(self, gradients, rates)
        seen.append(([self.updates[group] for group in self.groups], [rates[i].tolist() for i in moved], moved))
        return moved

    monkeypatch.setattr(Adam, "step", spied)
    train("a", *PLAIN, *STAGES, f"train.at_stage={at_stage}")
    starts = {0, 6, 12} if at_stage == "reset" else {0}
    assert [i for i, (counts, *_) in enumerate(seen) if not any(counts)] == sorted(starts)
    newborn = {i: set(moved) - set(seen[i - 1][2]) for i, (_, _, moved) in enumerate(seen) if i in (6, 12)}
    assert all(newborn.values())
    for i, (_, rates, moved) in enumerate(seen):
        start = max(start for start in starts if start <= i)
        for one, (t, lr, corrected, _) in zip(moved, rates, strict=True):
            born = max([start, *(at for at, new in newborn.items() if one in new and at <= i)])
            assert t == i - born + 1
            assert corrected == pytest.approx(lr / (1 - 0.9**t), rel=1e-6)  # for the moments' start at 0


@pytest.mark.parametrize("fadein_ratio", [0, 0.5, 1.0])
def test_the_best_epoch_is_one_of_the_complete_model(train, rows, monkeypatch, fadein_ratio):
    """Though each epoch before scored better; also where a stage has ended with the epoch and the next one begins."""
    seen, losses = [], iter(range(1, 100))

    def scripted(model, *_):
        seen.append(complete(model))
        return {"loss": float(next(losses)), "reconstruction": 1.0, "kl": 0.0}

    monkeypatch.setattr(engine, "validate", scripted)
    run = train("a", *PLAIN, f"model.backbone.fadein_ratio={fadein_ratio}", "train.epochs=6", "train.patience=9")
    best = [row["best"] for row in rows(run, kind="epoch", split="valid")]
    assert len(seen) == 6 and not all(seen)
    assert best == [number == seen.index(True) for number in range(6)]


def test_patience_waits_for_the_complete_model(train, rows, monkeypatch):
    losses = iter(range(1, 100))
    monkeypatch.setattr(engine, "validate", lambda *_: {"loss": next(losses), "reconstruction": 1.0, "kl": 0.0})
    run = train("a", *PLAIN, "train.epochs=9", "train.patience=2")
    valid = rows(run, kind="epoch", split="valid")
    assert [row["best"] for row in valid] == [False, False, True, False, False]


def test_the_average_is_told_the_stage_too(parts):
    made = parts(*PLAIN, "model.backbone.epochs_per_stage=3", "train.steps=12", "train.ema=0.5")
    train_state = TrainState(made.model, made.objective, made.data.augment, made.options, HERE)
    mine, theirs = train_state.model.growth, train_state.average.growth
    assert mine is not theirs
    told = []
    for number in range(10):
        train_state.step(made.data.train.images[:16], number)
        told.append((theirs.stage, theirs.alpha.item()))
        assert told[-1] == (mine.stage, mine.alpha.item())
        assert train_state.average.p_x(torch.zeros(2, 3)).mean.shape == (2, 1, 16, 16)
    assert told[::3] == [(0, 1), (1, 0), (2, 0), (2, 1)]
    assert theirs is train_state.average.posterior.encoder.growth is train_state.average.decoder.growth


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_what_is_kept_is_an_ordinary_complete_model(train, kind):
    model = load(train("a", *KINDS[kind], *STAGES))
    assert complete(model)
    assert model.generate(3).shape == (3, 1, 16, 16)
    assert model(torch.rand(3, 1, 16, 16)).log_px.shape == (1, 3)


def test_every_weight_has_learned_at_the_end(train):
    """Those of each stage's pictures too, in the stages that were trained with them."""
    start = train("start", *PLAIN, "train.lr=1e-12", *STAGES)
    run = train("a", *PLAIN, *STAGES)
    before, after = (dict(load(folder).named_parameters()) for folder in (start, run))
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.filterwarnings("ignore")
def test_the_compiled_step_learns_the_same(train, rows, graphs):
    """With the noise of the eager one, in every stage and at every α: the same numbers but for rounding."""
    options = (
        *PLAIN,
        f"model.backbone={{kind: progressive, {SMALL.replace('start_res: 4', 'start_res: 8')}}}",
        "train.epochs=2",
        "train.log_steps=1",
        "train.lr=1e-3",
    )
    eager, compiled = (rows(train(name, *options, f"train.compile={name == 'b'}".lower())) for name in ("a", "b"))
    assert len(graphs) == 3  # graphs: the first stage, the second as it fades in, and complete
    assert len(eager) == len(compiled)
    for one, two in zip(eager, compiled, strict=True):
        numbers = {k: v for k, v in one.items() if not isinstance(v, str)}
        assert {k: two[k] for k in numbers} == pytest.approx(numbers, rel=1e-3, abs=1e-6)


def test_no_stage_is_left_uncompiled(parts, monkeypatch):
    """Three stages are five graphs, with those that fade; also where torch by itself would keep four."""
    graphs, compiled = [], torch.compile

    def counted(graph, _):
        graphs.append(number)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda step, **_: compiled(step, backend=counted))
    torch.compiler.reset()
    with torch._dynamo.config.patch(recompile_limit=4), compiling_steps():
        made = parts(*PLAIN, "model.backbone.epochs_per_stage=2", "train.compile=true")
        train_state = TrainState(made.model, made.objective, made.data.augment, made.options, HERE)
        for number in range(7):
            train_state.step(made.data.train.images[:4], number)
    assert graphs == [0, 2, 3, 4, 5]


def test_stages_are_counted_in_epochs_of_the_set(train, rows):
    """Twice the images, twice the steps in a stage."""
    options = (*PLAIN, "data.train_size=192", "train.epochs=4", "train.log_steps=1")
    found = [row["resolution"] for row in rows(train("a", *options), kind="step")]
    assert found == [4] * 12 + [8] * 12 + [16] * 24


def test_the_run_folder_knows_nothing_of_the_stage(train):
    """Neither the model file nor the checkpoint has an entry for it: the step says all."""
    run: Path = train("a", *PLAIN, *STAGES)
    state = torch.load(run / "last.pt", weights_only=True)
    assert not [name for name in state["learner"]["model"] if "growth" in name or "alpha" in name]
