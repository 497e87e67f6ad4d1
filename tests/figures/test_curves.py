"""Training curves: tolerant reading, robust limits, honest marks."""

import numpy as np
import pytest

from vaelab.errors import NotApplicable
from vaelab.figures.curves import LoggedCurves, coarse
from vaelab.figures.kl_ratio import kl_ratio
from vaelab.figures.training_losses import training_losses


def rows(epochs=20, per_epoch=10, steps=True):
    """A run whose loss falls steeply at first, with β rising over ten epochs."""
    out = []
    for e in range(1, epochs + 1):
        beta = min(1.0, e / 10)
        if steps:
            for s in range((e - 1) * per_epoch, e * per_epoch):
                out.append({"kind": "step", "step": s, "split": "train", **terms(s / per_epoch + 0.5, beta)})
        both = {"kind": "epoch", "epoch": e, "step": e * per_epoch}
        out.append({**both, "split": "train", **terms(e, beta)})
        out.append({**both, "split": "valid", **terms(e, 1.0)})
    return out


def terms(e, beta):
    reconstruction, kl = 80 + 900 * np.exp(-2 * e) + 10 / e, 25.0
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl, "beta": beta}


def panels(figure):
    return {axes.get_title(loc="left").split(":")[0]: axes for axes in figure.axes}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("draw", [training_losses, kl_ratio])
@pytest.mark.parametrize(
    "log",
    [
        rows(1),
        rows(2, steps=False),
        rows(400, per_epoch=2),
        [row for row in rows(1) if row["kind"] == "step"],
        rows(1)[:1],
        [{"kind": "epoch"}, {"kind": "step"}, {"loss": 3.0}],
        [{"epoch": 1, "loss": float("nan"), "kl": 10**400, "reconstruction": "?"}],
        [{k: v for k, v in row.items() if k != "kl"} for row in rows(5)],
        [{k: v for k, v in row.items() if k != "step"} for row in rows(5)],
        [row | {"reconstruction": -500.0, "loss": -475.0} for row in rows(5)],
        [row | {"loss": 7.0, "reconstruction": 0.0, "kl": 0.0, "beta": 0.0} for row in rows(5)],
    ],
    ids=["one", "two", "many", "steps", "lone", "bare", "broken", "no-kl", "no-step", "density", "flat"],
)
def test_draws_whatever_was_logged(draw, log):
    figure = draw(log)
    assert all(np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all() for axes in figure.axes)


def test_training_losses_says_what_it_shows():
    figure = training_losses(rows())
    assert list(panels(figure)) == ["Loss", "Reconstruction", "KL divergence"]
    assert panels(figure)["Loss"].get_ylabel() == "nats per image"
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    assert legend(figure) == [
        "train",
        "validation",
        "train, within epochs",
        "best validation 105.50, epoch 20",
    ]


def test_the_validation_loss_is_called_what_it_is():
    titles = [training_losses(rows(2), **more).axes[0].get_title(loc="left") for more in ({}, {"bound": "−bound"})]
    assert titles == [f"Loss: train objective, validation {bound}" for bound in ("−ELBO", "−bound")]


def test_the_best_epoch_is_the_lowest_validation_loss():
    log = rows()
    next(r for r in log if r.get("split") == "valid" and r["epoch"] == 7)["loss"] = 42.0
    figure = training_losses(log)
    assert legend(figure)[-1] == "best validation 42.00, epoch 7"
    low, high = panels(figure)["Loss"].get_ylim()
    assert low < 42 < high


def test_first_epochs_do_not_squash_the_rest():
    log = [row | {"loss": 1e6} if row.get("epoch") == 1 else row for row in rows(100)]
    axes = panels(training_losses(log))["Loss"]
    assert axes.get_ylim()[1] < 200
    assert "↑ up to 1e+06" in [text.get_text() for text in axes.texts]


def test_a_short_run_is_shown_whole():
    axes = panels(training_losses(rows(3, steps=False)))["Loss"]
    assert axes.get_ylim()[1] > terms(1, 1)["loss"]
    assert not axes.texts


def test_x_is_in_steps_until_the_first_epoch_ends():
    figure = training_losses([row for row in rows(1) if row["kind"] == "step"])
    assert {axes.get_xlabel() for axes in figure.axes} == {"step"}


def test_steps_lie_within_their_epochs():
    x = LoggedCurves(rows(4, per_epoch=10)).curve("step", "train", "loss").x
    np.testing.assert_allclose(x, np.arange(40) / 10)


def test_missing_and_non_finite_values_are_left_out():
    log = rows(5, steps=False)
    log[0]["loss"], log[2]["loss"], log[4]["loss"] = float("nan"), None, float("inf")
    assert LoggedCurves(log).curve("epoch", "train", "loss").x.tolist() == [4, 5]


def test_a_row_logged_again_replaces_the_first():
    log = [*rows(3, steps=False), {"kind": "epoch", "epoch": 2, "split": "train", "loss": 1.0}]
    curve = LoggedCurves(log).curve("epoch", "train", "loss")
    assert curve.x.tolist() == [1, 2, 3]
    assert curve.y[1] == 1.0


def test_coarse_averages_neighbours():
    curve = LoggedCurves([{"epoch": e, "loss": float(e)} for e in range(1000)]).curve("epoch", "train", "loss")
    assert len(coarse(curve, 250).y) == 250
    assert coarse(curve, 250).y[0] == 1.5
    assert coarse(curve, 2000).y.tolist() == curve.y.tolist()


@pytest.mark.parametrize("log", [[], [{"kind": "evaluation", "split": "test", "loss": 1.0}]])
def test_nothing_to_draw_is_said(log):
    with pytest.raises(NotApplicable, match="it needs a log"):
        training_losses(log)


def test_kl_ratio_shows_share_and_applied_beta():
    figure = kl_ratio(rows(20, steps=False))
    above, below = figure.axes
    train = above.lines[1]
    np.testing.assert_allclose(train.get_ydata()[-1], 25 / (25 + terms(20, 1)["reconstruction"]))
    np.testing.assert_allclose(below.lines[0].get_ydata(), np.minimum(1, np.arange(1, 21) / 10))
    assert above.get_ylim()[0] == 0
    assert above.get_xlim() == below.get_xlim()
    assert (below.get_title(loc="left"), below.get_xlabel()) == ("Applied β", "epoch")
    assert above.get_yticklabels()[1].get_text() == "10%"


def test_kl_ratio_shows_nats_where_a_negative_reconstruction_leaves_no_share():
    above = kl_ratio([row | {"reconstruction": -500.0} for row in rows(20, steps=False)]).axes[0]
    assert "no share" in above.get_title(loc="left")
    np.testing.assert_allclose(above.lines[1].get_ydata()[-1], terms(20, 1)["kl"])
    assert "%" not in above.get_yticklabels()[1].get_text()


@pytest.mark.parametrize("small", [0.5, 1e-2, 1e-4, 1e-6])
def test_ticks_of_a_small_share_differ(small):
    above = kl_ratio([row | {"kl": small * row["kl"]} for row in rows(20, steps=False)]).axes[0]
    ticks = [label.get_text() for label in above.get_yticklabels()]
    assert len(set(ticks)) == len(ticks) and max(map(len, ticks)) <= 8
