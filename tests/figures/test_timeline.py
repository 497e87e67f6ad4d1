"""Timelines: loss, resolution, α and β as they were logged, stage by stage."""

import numpy as np
import pytest

from vaelab.errors import NotApplicable
from vaelab.figures.timeline import timeline

STAGES, PER_STAGE, PER_EPOCH = (4, 8, 16, 32), 10, 20


def rows(steps=True, beta=1.0, area=True, stages=STAGES):
    """Stages of ten epochs, which fade in within five, with β rising over the first eight."""
    out = []
    for epoch in range(1, PER_STAGE * len(stages) + 1):
        within = [row(s, beta, area, stages) for s in range((epoch - 1) * PER_EPOCH + 5, epoch * PER_EPOCH + 1, 5)]
        at = {"kind": "epoch", "epoch": epoch, "step": epoch * PER_EPOCH}
        out += [{"kind": "step", "split": "train", **r} for r in within] if steps else []
        out.append({**{k: float(np.mean([r[k] for r in within])) for k in within[0]}, **at, "split": "train"})
        out.append({**at, "split": "valid", "loss": within[-1]["loss"], "beta": 1.0})
    return out


def row(step, beta, area, stages):
    """After so many steps."""
    stage, since = divmod(step - 1, PER_STAGE * PER_EPOCH)
    side, alpha = stages[stage], min(1.0, since / (5 * PER_EPOCH)) if stage else 1.0
    loss = (100 + 200 * np.exp(-since / 20)) * (1 if area else (side / 32) ** 2)
    weight = beta * min(1.0, step / (8 * PER_EPOCH))
    return {
        "step": step,
        "epoch": step / PER_EPOCH,
        "loss": loss,
        "resolution": float(side),
        "alpha": alpha,
        "beta": weight,
    }


def without(log, *keys):
    return [{k: v for k, v in row.items() if k not in keys} for row in log]


def panels(figure):
    return {axes.get_title(loc="left").split(":")[0].split(",")[0]: axes for axes in figure.axes}


def points(line):
    """What a line shows, without the places where it is broken."""
    x, y = (np.asarray(values, float) for values in line.get_data())
    return x[np.isfinite(y)], y[np.isfinite(y)]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def spans(axes):
    return [(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches]


def apart(figure):
    """Titles and legends do not touch."""
    boxes = [axes.get_title(loc="left") and axes._left_title.get_window_extent() for axes in figure.axes]
    legends = [x.get_window_extent() for x in (*figure.legends, *(a.get_legend() for a in figure.axes)) if x]
    found = [*boxes, *legends, figure._suptitle.get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize(
    "log",
    [
        rows(),
        rows(steps=False),
        rows()[:1],
        rows(steps=False)[:1],
        [r for r in rows() if r["epoch"] < 1],
        rows(beta=0.0),
        rows(beta=50.0),
        without(rows(), "alpha"),
        without(rows(), "beta"),
        without(rows(), "loss"),
        without(rows(), "alpha", "beta", "loss"),
        [r | {"loss": r["loss"] - 900} for r in rows(area=False)],
        [r | {"loss": None, "alpha": float("nan")} for r in rows()],
        rows(stages=[2**k for k in range(2, 12)]),
    ],
    ids=lambda log: f"{len(log)} of {len(log[0])}",
)
def test_draws_whatever_was_logged(log):
    figure = timeline(log)
    assert all(np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all() for axes in figure.axes)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] in (["epoch"], ["step"])
    apart(figure)


@pytest.mark.parametrize("steps", [True, False])
def test_what_is_drawn_is_what_was_logged(steps):
    log = rows(steps)
    shown = panels(timeline(log, title="T"))
    assert list(shown) == ["Loss", "Resolution", "Applied α and β"]
    trained = [r for r in log if r["split"] == "train" and r["kind"] == ("step" if steps else "epoch")]
    lines = {"resolution": shown["Resolution"].lines[0]}
    lines["alpha"], lines["beta"] = shown["Applied α and β"].lines[:2]
    for key, line in lines.items():
        x, y = points(line)
        np.testing.assert_allclose(x, [r["epoch"] for r in trained])
        np.testing.assert_array_equal(y, [r[key] for r in trained])
    for line, split in zip(shown["Loss"].lines[1:3], ("train", "valid"), strict=True):
        found = [r for r in log if r["kind"] == "epoch" and r["split"] == split]
        x, y = points(line)
        np.testing.assert_array_equal([x, y], [[r["epoch"] for r in found], [r["loss"] for r in found]])


@pytest.mark.parametrize("steps", [True, False])
def test_stages_begin_and_fade_where_they_did(steps):
    figure = timeline(rows(steps))
    for axes in figure.axes:
        np.testing.assert_allclose([a for a, _ in spans(axes)], [10, 20, 30])
        np.testing.assert_allclose([b for _, b in spans(axes)], [15, 25, 35], atol=0.26 if steps else 1)
    assert "fading in" in labels(figure)
    assert [line.get_drawstyle() for line in panels(figure)["Resolution"].lines[:1]] == ["steps-pre"]


@pytest.mark.parametrize("steps", [True, False])
def test_the_loss_is_broken_between_stages_only(steps):
    for line in panels(timeline(rows(steps)))["Loss"].lines[1:3]:
        x, y = line.get_data()
        gaps = np.flatnonzero(np.isnan(y))
        assert [(x[i - 1], x[i + 1]) for i in gaps] == [(10, 11), (20, 21), (30, 31)]


def test_ticks_name_the_resolutions_on_a_logarithmic_axis():
    figure = timeline(rows())
    axes = panels(figure)["Resolution"]
    assert (axes.get_yscale(), axes.get_yticks().tolist()) == ("log", [4, 8, 16, 32])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["4", "8", "16", "32"]
    many = panels(timeline(rows(stages=[2**k for k in range(2, 12)])))["Resolution"]
    assert many.get_yticks().tolist() == [4, 16, 64, 256, 1024]


def test_jumps_between_stages_stay_readable():
    axes = panels(timeline(rows()))["Loss"]
    assert axes.get_yscale() == "linear"
    assert 100 < axes.get_ylim()[1] < 200
    assert [text.get_text()[0] for text in axes.texts] == ["↑"]
    growing = panels(timeline(rows(area=False)))["Loss"]
    assert (growing.get_yscale(), growing.get_ylabel()) == ("log", "nats per image, log scale")
    low, high = growing.get_ylim()
    assert all(low < (side / 32) ** 2 * 100 < high for side in STAGES)


def test_a_beta_that_would_hide_alpha_has_its_own_panel():
    assert list(panels(timeline(rows(beta=50.0))))[-2:] == ["Applied α", "Applied β"]
    assert list(panels(timeline(rows(beta=0.01))))[-2:] == ["Applied α", "Applied β"]
    legend = timeline(rows()).axes[-1].get_legend()
    assert legend and [text.get_text() for text in legend.get_texts()] == ["α", "β"]


def test_missing_and_non_finite_values_are_left_out():
    log = rows(steps=False)
    gone = [i for i, r in enumerate(log) if r["split"] == "train"][2:5]
    for i, key in zip(gone, ("alpha", "resolution", "beta"), strict=True):
        log[i][key] = None if i % 4 else float("nan")
    shown = panels(timeline(log))
    alpha, beta = shown["Applied α and β"].lines[:2]
    assert 3 not in points(alpha)[0] and 4 not in points(shown["Resolution"].lines[0])[0] and 5 not in points(beta)[0]
    assert len(points(alpha)[0]) == 39


def test_the_title_is_that_given():
    assert timeline(rows(), title="A growing run")._suptitle.get_text() == "A growing run"


def test_a_run_that_does_not_grow_has_none():
    for log in ([], without(rows(), "resolution")):
        with pytest.raises(NotApplicable, match="it needs a"):
            timeline(log)


def test_the_validation_loss_is_called_what_it_is():
    assert timeline(rows(), bound="−IWAE bound").axes[0].get_title(loc="left").endswith("validation −IWAE bound")
