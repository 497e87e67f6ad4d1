"""Every finding on a log made to show it, and none on one that does not."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import vaelab.recipe.recipe  # noqa: F401  # registers the parts
from vaelab.data.scale import EIGHT_BIT, Scale
from vaelab.report.diagnosis import diagnose
from vaelab.report.finding import LEVELS
from vaelab.report.pixels import Pixels
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Log
from vaelab.runs.recipe import StoredRecipe
from vaelab.runs.results import MetricResult, Results
from vaelab.runs.state import State

SETTLED = [90.0, 70.0, 65.0, 64.0, 63.9, 63.9, 63.9, 63.9, 63.9, 63.9]


def rows(losses, kl=10.0, beta=1.0, kind="epoch"):
    """A row for each loss, a step each or an epoch of 100 steps, with a KL that is one number or one for each."""
    kls = kl if isinstance(kl, list) else [kl] * len(losses)
    per_row = 1 if kind == "step" else 100
    return [
        {"kind": kind, "step": per_row * i, "epoch": i, "loss": loss, "reconstruction": loss - k, "kl": k, "beta": beta}
        for i, (loss, k) in enumerate(zip(losses, kls, strict=True), 1)
    ]


def found(valid, train=None, *, steps=(), earlier=(), values=None, protocol=None, recipe=None, path="no", **state):
    """Each finding by its kind; all is well only where there is no other."""
    state = {"word": "failed" if state else "done", "reason": "", "seconds": None, "seen": 0.0} | state
    epochs = [row | {"split": split} for split, rows in (("train", train or valid), ("valid", valid)) for row in rows]
    metrics = {"aggregate": MetricResult(values=values or {}, protocol=protocol or {})}
    run = RunFolder(
        path=Path(path),
        recipe=StoredRecipe(recipe or {}),
        log=Log([*epochs, *steps], earlier=earlier),
        state=State(**state),
        measured={"test": Results(split="test", metrics=metrics)},
    )
    findings = diagnose(run)
    assert len(findings) == 1 or all(finding.level != "good" for finding in findings)
    return {f.kind: f for f in findings}


@pytest.fixture
def weigh(tmp_path):
    """`weigh("normal", sigma=3.0, fit="learnable")`: a run of 8 × 8 images with such a likelihood, and its weights."""

    def make(kind, scale=0.1, images=EIGHT_BIT, **options):
        metadata = {"x_shape": "[1, 8, 8]", "scale": json.dumps(images.as_mapping())}
        tensors = {"likelihood.log_sigma": np.array(np.log(scale), np.float32)}
        save_file(tensors, tmp_path / "model.safetensors", metadata)
        return {"path": tmp_path, "recipe": {"model": {"likelihood": {"kind": kind, **options}}}}

    return make


def test_nothing_conspicuous():
    finding = found(rows(SETTLED))
    assert list(finding) == ["nothing"] and finding["nothing"].level == "good"
    assert "63.90" in finding["nothing"].evidence and "10.00" in finding["nothing"].evidence


@pytest.mark.parametrize("values", [{}, {"active_units_kl": 0, "latent_dim": 20}])
def test_collapse(values):
    finding = found(rows(SETTLED, kl=[9.0, 5.0, 1.0, *[0.02] * 7]), values=values)["collapse"]
    assert finding.level == "bad" and "KL 0.02 nats" in finding.evidence and "free_bits" in finding.remedy
    assert ("0 of 20 dimensions" in finding.evidence) == bool(values)


def test_no_active_unit_is_a_collapse_whatever_the_log_says():
    assert "collapse" in found(rows(SETTLED), values={"active_units_kl": 0, "latent_dim": 20})


@pytest.mark.parametrize("epochs", [5, 6])
def test_a_small_kl_that_still_rises_is_no_collapse(epochs):
    losses, kl = [80.0, 70.0, 65.0, 64.0, 63.9, 63.9], [0.12, 0.19, 0.25, 0.30, 0.36, 0.38]
    finding = found(rows(losses[-epochs:], kl=kl[-epochs:]))
    assert "collapse" not in finding and finding["small kl"].level == "note"
    assert "KL 0.38 nats" in finding["small kl"].evidence and finding["small kl"].remedy == "more train.epochs"
    assert finding["nothing"].sentence.startswith("Otherwise")


def test_no_active_unit_is_a_collapse_though_the_kl_rises():
    values = {"active_units_kl": 0, "latent_dim": 20}
    kl = [*[0.01] * 5, 0.02, 0.03, 0.04, 0.05, 0.06]
    assert "collapse" not in found(rows(SETTLED, kl=kl)) and "collapse" in found(rows(SETTLED, kl=kl), values=values)


def test_a_kl_that_scatters_does_not_rise():
    noise = 0.1 * np.random.default_rng(0).uniform(0.9, 1.1, size=(200, 10))
    assert sum("collapse" in found(rows(SETTLED, kl=list(kl))) for kl in noise) >= 180


@pytest.mark.parametrize("losses", [[90.0], [131.0, 107.0, 105.0]])
def test_a_short_run_has_not_collapsed(losses):
    finding = found(rows(losses, kl=0.1), values={"active_units_kl": 0, "latent_dim": 20})
    assert "short" in finding and not {"collapse", "partial collapse"} & finding.keys()


def test_a_small_kl_under_no_weight_is_no_collapse():
    assert "collapse" not in found(rows(SETTLED, kl=0.1, beta=0.0), recipe={"objective": "elbo"})


@pytest.mark.parametrize(("active", "noted"), [(20, False), (10, False), (9, True)])
def test_most_dimensions_unused_is_a_note(active, noted):
    finding = found(rows(SETTLED), values={"active_units_kl": active, "latent_dim": 20})
    assert ("partial collapse" in finding) == noted
    if noted:
        assert "11 of 20" in finding["partial collapse"].sentence and finding["nothing"].sentence.startswith("Other")


def test_over_regularised_where_reconstructions_paid_for_the_kl():
    valid = rows([80.0, 70.0, *[90.0] * 8], kl=[30.0, 20.0, *[4.0] * 8], beta=8.0)
    finding = found(valid)["over-regularised"]
    assert finding.level == "warning" and "β = 8" in finding.sentence
    assert "KL 4.00 nats" in finding.evidence and "36.00 nats better before" in finding.evidence


def test_a_small_share_of_kl_at_a_large_beta_is_a_note():
    assert found(rows(SETTLED, kl=5.0, beta=4.0))["over-regularised"].level == "note"


@pytest.mark.parametrize(("kl", "beta"), [(5.0, 1.0), (20.0, 4.0)])
def test_a_usual_weight_or_a_large_kl_is_not_over_regularised(kl, beta):
    assert "over-regularised" not in found(rows(SETTLED, kl=kl, beta=beta))


def test_an_error_is_written_in_plain_digits():
    noise = [20.0, -30.0, 25.0, -25.0] * 3
    finding = found(rows([-900.0 * i + x for i, x in enumerate(noise)]))["under-trained"]
    assert "±" in finding.evidence and "e+" not in finding.evidence


def test_under_trained_gives_its_slope():
    finding = found(rows([100.0 - 2 * i for i in range(20)]))["under-trained"]
    assert finding.level == "warning" and "−2.00 ±" in finding.evidence and "6 of 20 epochs" in finding.evidence
    assert finding.remedy == "more train.epochs"


def test_a_loss_that_still_falls_a_little_is_a_note():
    finding = found(rows([100.0 - 0.1 * i for i in range(20)]))["under-trained"]
    assert finding.level == "note" and "a little" in finding.sentence and finding.remedy == "more train.epochs"


@pytest.mark.parametrize("state", ["stopped", "killed"])
def test_a_run_that_was_stopped_is_not_under_trained(state):
    finding = found(rows([100.0 - 2 * i for i in range(20)]), word=state)["under-trained"]
    assert finding.level == "note" and "resuming it" in finding.remedy
    assert finding.sentence == f"The validation loss was still falling when the training was {state}."


def test_a_run_that_goes_on_is_not_judged_as_ended():
    finding = found(rows([100.0 - 2 * i for i in range(20)]), word="running")
    assert list(finding) == ["nothing"] and finding["nothing"].sentence == "Nothing conspicuous so far."
    assert "still falling" not in finding["nothing"].evidence
    short = found(rows([100.0]), word="running")["short"]
    assert short.sentence.startswith("Too early") and not short.remedy


def test_noise_is_no_slope():
    noise = np.random.default_rng(0).normal(size=(200, 50))
    told = sum("under-trained" in found(rows(list(60 + losses))) for losses in noise)
    assert told <= 2, "four standard errors and a best epoch near the end come together by chance in 1 run of 1,000"


def test_nan_at_the_end():
    reason = "kl is no longer a finite number at step 7; try a smaller train.lr (no checkpoint was due yet)"
    finding = found([], reason=reason, diverged=("kl", 7))
    assert finding["nan"].level == "bad" and list(finding) == ["nan"], "that it was short says nothing more"
    assert finding["nan"].sentence == "The training diverged: its KL is no longer a finite number."
    assert finding["nan"].evidence == "Found at step 7; nothing was logged before."
    steps = rows(SETTLED, kind="step")
    known = found([], reason="in whatever words", diverged=("grad_norm", 12), steps=steps)["nan"]
    assert (
        "its gradient's norm is no longer" in known.sentence and "the last loss in the log is 63.90" in known.evidence
    )


def test_another_error_at_the_end():
    finding = found([], reason="No space left on device", word="failed")
    assert list(finding) == ["failed"] and finding["failed"].evidence == "No space left on device."


@pytest.mark.parametrize(("key", "level"), [("loss", "bad"), ("kl", "bad"), ("grad_norm", "warning")])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_nan_on_the_way(key, level, value):
    steps = rows(SETTLED, kind="step")
    steps[3][key] = value
    finding = found(rows(SETTLED), steps=steps)["nan"]
    assert finding.level == level and f"step 4: {key} is no finite number" in finding.evidence


def test_a_loss_that_leapt_back_above_its_beginning():
    steps = rows([100.0 - i for i in range(30)], kind="step")
    assert "nan" not in found(rows(SETTLED), steps=steps)
    steps[20]["reconstruction"] = 500.0
    finding = found(rows(SETTLED), steps=steps)["nan"]
    assert "90.00 nats and was back at 500.00 in step 21" in finding.evidence


def test_a_log_without_its_beginning_tells_of_no_leap():
    steps = rows([*[100.0 - i for i in range(30)], *[200.0] * 9], kind="step")
    assert "nan" in found(rows(SETTLED), steps=steps)
    assert "nan" not in found(rows(SETTLED), steps=steps[5:])


def test_a_number_that_is_none_in_an_earlier_stage():
    broken = rows(SETTLED, kind="step")
    broken[2]["loss"] = None
    assert "step 3: loss" in found(rows(SETTLED), earlier=broken)["nan"].evidence


@pytest.mark.parametrize("fit", ["fixed", "learnable"])
@pytest.mark.parametrize(("scale", "level"), [(0.1, ""), (0.4, ""), (1e-4, "warning"), (3.0, "bad")])
def test_a_learned_scale_that_ran_away(weigh, scale, level, fit):
    finding = found(rows(SETTLED), **weigh("normal", scale, fit=fit))
    assert ("scale" in finding) == (bool(level) and fit != "fixed")
    if "scale" in finding:
        assert finding["scale"].level == level and f"{scale:.2g}" in finding["scale"].evidence


@pytest.mark.parametrize(
    ("high", "stored", "scale", "level"),
    [
        (65_535.0, "uint16", 1e-4, ""),
        (65_535.0, "uint16", 1e-5, "warning"),
        (1.0, "float32", 1e-5, ""),
        (1.0, "float32", 3.0, ""),
    ],
)
def test_a_scale_is_narrow_by_the_levels_of_the_images(weigh, high, stored, scale, level):
    """Real values have no step; what lies outside [0, 1] may scatter more."""
    images = Scale(high=high, stored=stored, clip=stored != "float32")
    finding = found(rows(SETTLED), **weigh("normal", scale, images, fit="learnable"))
    assert finding["scale"].level == level if level else "scale" not in finding


def test_overfitting():
    valid, train = rows([90.0, 70.0, 65.0, 66.0, 67.0, 69.0]), rows([90.0, 68.0, 60.0, 55.0, 50.0, 45.0])
    finding = found(valid, train)["overfitting"]
    assert finding.level == "warning" and "Since epoch 3" in finding.evidence
    assert "rose by 4.00" in finding.evidence and "fell by 15.00" in finding.evidence
    assert "overfitting" not in found(valid, rows([90.0, 68.0, 60.0, 61.0, 62.0, 63.0])), "training lost as well"


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_too_short_to_judge(epochs):
    finding = found(rows(SETTLED[:epochs]), steps=rows(SETTLED, kind="step"))
    assert finding["short"].level == "note"


@pytest.mark.parametrize(
    ("losses", "short"),
    [
        ([131.0, 107.0, 105.0], True),
        ([131.0, 107.0, 106.0, 104.0], True),
        ([131.0, 107.0, 106.95], False),
        ([131.0, 107.0, 108.0], False),
        (SETTLED, False),
    ],
)
def test_a_few_epochs_of_which_the_last_still_gained_are_too_short(losses, short):
    finding = found(rows(losses))
    assert ("short" in finding) == short
    if short:
        assert "epochs finished, and the last still gained 2.00 nats" in finding["short"].evidence
        assert finding["nothing"].sentence.startswith("Otherwise")


def test_few_epochs_are_held_to_the_gain_of_many():
    losses = [125.45, 104.41, 101.59, 101.14]
    finding = found(rows(losses))
    assert "the last still gained 0.45 nats" in finding["short"].evidence
    assert "a loss still falling" in found(rows(SETTLED))["nothing"].evidence
    assert "a loss still falling" not in found(rows([*losses, 101.14]))["nothing"].evidence, "too few to look for it"


@pytest.mark.parametrize(("state", "short"), [("unknown", False), ("done", False), ("stopped", True)])
def test_without_a_row_nothing_is_known_of_how_long_it_was(state, short):
    assert ("short" in found([], word=state)) == short


def test_few_steps_are_too_short_however_many_epochs_they_are():
    few = [row | {"step": row["epoch"]} for row in rows(SETTLED, kl=0.1)]
    finding = found(few)
    assert "collapse" not in finding and finding["short"].evidence == "10 epochs finished, 10 steps in all."
    assert "short" not in found(rows(SETTLED))


APART = {"aggregate_ks": 0.5, "aggregate_p": 0.005}
TOLD = {"protocol": {"ks_limit": 0.1, "images": 250}}


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (APART, "warning"),
        (APART | {"aggregate_ks": 0.15}, "note"),
        ({"aggregate_ks": 0.05, "aggregate_p": 0.01}, "note"),
    ],
)
def test_an_aggregated_posterior_that_is_not_the_prior(values, level):
    finding = found(rows(SETTLED), values=values, **TOLD)
    told = finding["unlike prior"]
    assert told.level == level and f"{values['aggregate_ks']:.2f}" in told.evidence and "250 images" in told.evidence
    assert "the sampler gmm" in told.remedy and told.metric == "aggregate"
    assert ("nothing" in finding) == (level == "note"), "a warning is not followed by 'all well'"


@pytest.mark.parametrize("values", [{}, {"aggregate_ks": 0.09, "aggregate_p": 0.06}])
def test_an_aggregated_posterior_that_may_be_the_prior(values):
    assert list(found(rows(SETTLED), values=values, **TOLD)) == ["nothing"]


@pytest.mark.parametrize(
    ("kind", "uniform", "bound"),
    [("bernoulli", 64 * math.log(2), 1), ("logistic", 64 * math.log(256), 8), ("laplace", 0.0, 8)],
)
def test_a_model_worse_than_uniform_pixels(weigh, kind, uniform, bound):
    run = weigh(kind)
    worse = found(rows([uniform + 30 + x for x in SETTLED]), **run)["uniform"]
    assert worse.level == "bad" and f"where uniform pixels have {bound}" in worse.evidence
    assert "epochs" not in worse.remedy and "train.lr" in worse.remedy
    assert "uniform" not in found(rows([uniform - 100 + x for x in SETTLED]), **run)
    measured = found(rows([uniform - 100 + x for x in SETTLED]), values={"iwae": -uniform - 1.0}, **run)
    assert "uniform" in measured, "what was measured counts more than the log"


def test_bits_per_dimension_are_those_of_the_metric():
    nats = 8.54 * 64 * math.log(2)
    assert math.isclose(Pixels(64, 256, False).bits(nats), 8.54)
    assert math.isclose(Pixels(64, 256, True).bits(nats - 64 * math.log(256)), 8.54)


def test_a_fixed_scale_that_allows_no_better_is_a_note(weigh):
    finding = found(rows([70.0] * 9), **weigh("normal", sigma=1.0, fit="fixed"))
    assert finding["uniform"].level == "note" and "this scale 9.33 at best" in finding["uniform"].evidence


def test_a_collapse_at_a_large_learning_rate_names_it():
    finding = found(rows(SETTLED, kl=0.01), recipe={"train": {"lr": 0.1}})["collapse"]
    assert finding.remedy.startswith("a smaller train.lr than 0.1")
    assert "train.lr" not in found(rows(SETTLED, kl=0.01), recipe={"train": {"lr": 1e-3}})["collapse"].remedy


def test_rows_may_lack_anything():
    broken = [{"kind": "epoch", "step": i, "epoch": i} for i in range(9)]
    finding = found(broken, steps=[row | {"kind": "step"} for row in broken])
    assert all(f.level in LEVELS and f.sentence and f.evidence for f in finding.values())
