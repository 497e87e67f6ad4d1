"""One step: the average, the clipped gradient, the learning rate and β, as their formulas say."""

import math

import pytest
import torch

from vaelab.roles import Decoder, Growth
from vaelab.training.options import TrainOptions
from vaelab.training.process_group import ProcessGroup
from vaelab.training.step import TrainState, clip_, lr_schedules

HERE = ProcessGroup(0, 1, torch.device("cpu"))


def state_of(parts, *overrides: str) -> tuple[TrainState, torch.Tensor]:
    made = parts(*overrides)
    return TrainState(made.model, made.objective, made.data.augment, made.options, HERE), made.data.train.images[:16]


def learn(train_state: TrainState, batch: torch.Tensor, steps: int) -> list[list[torch.Tensor]]:
    """The weights before the first step and after each."""
    weights = [[p.detach().clone() for p in train_state.model.parameters()]]
    for number in range(steps):
        train_state.step(batch, number)
        weights.append([p.detach().clone() for p in train_state.model.parameters()])
    return weights


def test_buffers_reach_the_average_at_the_end_of_an_epoch(parts):
    train_state, batch = state_of(parts, "model.likelihood={kind: normal, fit: optimal}")
    learn(train_state, batch, 3)
    before, now = (m.likelihood.log_sigma.item() for m in (train_state.average, train_state.model))
    assert before != now
    train_state.settle(3)
    assert train_state.average.likelihood.log_sigma.item() == now


@pytest.mark.parametrize("largest", [None, 1e-3, 0.5, 1e9])
def test_clipping_is_torchs(largest):
    torch.manual_seed(0)
    mine = [torch.randn(4, 3), torch.randn(2)]
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in mine]
    for parameter, gradient in zip(parameters, mine, strict=True):
        parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest or math.inf)
    assert clip_(mine, largest).item() == pytest.approx(norm.item())
    for parameter, gradient in zip(parameters, mine, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("warmup", [0, 5])
def test_the_learning_rate_warms_up_and_falls_as_a_cosine(warmup):
    options = TrainOptions(steps=40, lr_schedule="cosine", lr_warmup_steps=warmup)
    for step in range(40):
        rise = min(1.0, (1 + step) / (warmup + 1))
        # from 1/(warmup + 1) in a straight line to 1 at the end of the warm-up
        rise = 1 / (warmup + 1) + (1 - 1 / (warmup + 1)) * min(1.0, step / warmup) if warmup else 1.0
        expected = rise * (1 + math.cos(math.pi * step / 40)) / 2
        assert math.prod(schedule(step) for schedule in lr_schedules(options, options.steps)) == pytest.approx(expected)


def test_the_cosine_may_take_the_last_steps_alone():
    options = TrainOptions(steps=40, lr_schedule="cosine", lr_decay_steps=10)
    [falling] = lr_schedules(options, options.steps)
    assert {falling(step) for step in range(31)} == {1.0}
    assert [falling(step) for step in (35, 40)] == pytest.approx([0.5, 0.0])


def test_the_applied_learning_rate_and_weight_are_logged(train, rows):
    run = train("a", "train.log_steps=1", "train.lr_schedule=cosine", "train.lr_warmup_steps=4")
    steps = rows(run, kind="step")
    assert [row["step"] for row in steps] == list(range(1, 25))
    for i, row in enumerate(steps):
        rise = 1 / 5 + 4 / 5 * min(1, i / 4)
        assert row["lr"] == pytest.approx(1e-2 * rise * (1 + math.cos(math.pi * i / 24)) / 2)
        assert row["beta"] == pytest.approx(min(1, i / 6))
        assert row["epoch"] == pytest.approx((i + 1) / 6)


def test_the_loss_is_reconstruction_and_weighted_kl_in_every_row(train, rows):
    for row in rows(train("a", "train.log_steps=1"), kind="step", split="train"):
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["beta"] * row["kl"], rel=1e-6)
    for row in rows(train("b", "objective.beta=0.7"), split="train"):  # where β is constant, in means too
        assert row["beta"] == pytest.approx(0.7)
        assert row["loss"] == pytest.approx(row["reconstruction"] + 0.7 * row["kl"], rel=1e-6)
    for row in rows(train("c", "objective.beta=0.7"), split="valid"):
        assert row["beta"] == 1.0
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["kl"], rel=1e-6)


@pytest.mark.parametrize("log_steps", [1, 2, 4, 50])
def test_epoch_rows_are_the_means_over_the_steps(train, rows, log_steps):
    fine, run = train("fine", "train.log_steps=1"), train("run", f"train.log_steps={log_steps}")
    steps = rows(fine, kind="step")
    for number, row in enumerate(rows(run, kind="epoch", split="train")):
        assert row["epoch"] == number + 1 and row["step"] == 6 * number + 6
        within = steps[6 * number : 6 * number + 6]
        for key in ("loss", "reconstruction", "kl", "beta", "lr", "grad_norm"):
            assert row[key] == pytest.approx(sum(s[key] for s in within) / 6)


def test_an_epoch_may_be_cut_short(train, rows):
    run = train("a", "train.steps=8")
    assert [row["step"] for row in rows(run, kind="step")] == [2, 4, 6, 8]
    assert [(row["step"], row["epoch"]) for row in rows(run, kind="epoch", split="train")] == [(6, 1), (8, 2)]


def test_bfloat16_is_near_float32(train, rows):
    """Networks in bfloat16 err by 2⁻⁸ per number; the loss, a sum of many, by less than that."""
    one, two = train("a"), train("b", "train.precision=bfloat16")
    last = [[row["loss"] for row in rows(run, kind="epoch")] for run in (one, two)]
    assert last[0] != last[1]
    assert last[1] == pytest.approx(last[0], rel=2**-8)


@pytest.mark.slow
def test_the_compiled_step_learns_the_same_but_for_its_noise(train, within_the_noise):
    """The compiler draws its own noise, so losses agree within what other noise makes of them."""
    options = ("train.compile=true", "train.log_steps=1")
    within_the_noise(train("compiled", *options), options[1:])


def test_a_growth_of_its_own_is_told_the_step(parts):
    class Ageing(Growth):
        def at(self, step: int) -> dict[str, float]:
            self.step = step
            return {"age": step}

    class Aged(Decoder):
        def forward(self, z):
            return self.net(z)

    made = parts()
    decoder = Aged(Ageing([8], 10, 0))
    decoder.net = made.model.decoder
    made.model.decoder = decoder
    train_state = TrainState(made.model, made.objective, made.data.augment, made.options, HERE)
    learn(train_state, made.data.train.images[:16], 2)
    assert train_state.step(made.data.train.images[:16], 2)["age"] == 2
    assert [net.growth.step for net in (train_state.model, train_state.average)] == [2, 2]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_average_is_that_of_the_steps_whenever_an_epoch_ended(parts, ema):
    found = []
    for ends in ({19}, {3, 8, 13, 19}):
        torch.manual_seed(0)
        train_state, batch = state_of(parts, f"train.ema={ema}")
        for number in range(19):
            train_state.step(batch, number)
            if number + 1 in ends:
                train_state.settle(number + 1)
        found.append(train_state)
    nets = [found[0].average, found[1].average, found[1].model]
    for mine, theirs, last in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(mine, theirs) and torch.equal(mine, last) == (ema == 0)


def test_batch_normalisation_of_the_average_has_statistics_of_its_own(parts):
    """Of what its own weights make of the images, where those of the last weights are far off."""
    made = parts("train.lr=0.1")
    dim = made.model.p_z().event_shape[0]
    made.model.decoder = torch.nn.Sequential(torch.nn.BatchNorm1d(dim), made.model.decoder)
    train_state, images = (
        TrainState(made.model, made.objective, made.data.augment, made.options, HERE),
        made.data.train.images,
    )
    learn(train_state, images[:16], 9)
    train_state.settle(9)
    layer = train_state.average.decoder[0]
    last = layer.running_mean.clone()
    train_state.calibrate([torch.arange(len(images))], lambda rows: (images[rows], None))
    draws = train_state.average.q_z(images.float() / 255).sample((1000,))
    mean, error = draws.mean((0, 1)), (draws.var(0).mean(0) / len(images)).sqrt()  # of one draw for each image
    assert ((layer.running_mean - mean).abs() < 4.5 * error).all()
    assert ((last - mean).abs() > 4.5 * error).any()
    assert not layer.training and layer.momentum == 0.1
