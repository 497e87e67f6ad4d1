"""The page of a report: whole from a folder alone, and of what is missing or broken says so and shows the rest."""

import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest
import yaml

from vaelab.errors import UsageError
from vaelab.recipe.restore import weights_hash
from vaelab.registry import names
from vaelab.registry.schema import Part
from vaelab.report import refresh, report
from vaelab.report.curves import curves_of, curves_of_all
from vaelab.report.differences import differences
from vaelab.report.sentence import said, sentence
from vaelab.runs.folder import RunFolder
from vaelab.runs.state import recorded

VOID = {"meta", "link", "img", "br", "input"}
NUMBERS = {
    "likelihood": {
        "values": {"elbo": -60.5, "iwae": -58.25, "kl": 5.0},
        "intervals": {"elbo": [-61.5, -59.5]},
        "protocol": {"split": "test", "images": 32, "samples": 100, "kind": "likelihood"},
        "curves": {},
        "notes": ["a note <of> ours"],
    },
    "active_units": {
        "values": {"active_units_kl": 3, "latent_dim": 4},
        "intervals": {},
        "protocol": {"split": "test", "images": 32, "kind": "active_units"},
        "curves": {"kl_per_dimension": [[1, 0.5], [2, 3.0], [3, 0.01], [4, 1.5]]},
        "notes": [],
    },
}


class Page(HTMLParser):
    """A page taken apart: that its elements are closed, the addresses in it, its pictures and its text."""

    def __init__(self, path):
        super().__init__()
        self.open, self.addresses, self.pictures, self.text, self.ids = [], [], [], "", []
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)
        self.close()
        assert not self.open, f"left open: {self.open}"
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.addresses += [known[k] for k in ("src", "href", "srcset", "action", "data") if known.get(k)]
        self.ids += [known["id"]] if "id" in known else []
        if tag == "img" or known.get("role") == "img":
            self.pictures.append(known.get("alt") or known.get("aria-label"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def measured(run, metrics=NUMBERS, **more):
    """Numbers of the run's present weights."""
    known = {"run": run.name, "data": "digits", "model": weights_hash(run), "split": "test", "images": 32}
    rest = {"metrics": metrics, "unavailable": {"ais": "no time"}, "expected": [], "notes": []}
    (run / "metrics.json").write_text(json.dumps(known | rest | more))
    return run


def test_a_whole_run(invent, picture):
    run = measured(invent("a"))
    for name in ("generated_samples", "reconstructions", "latent_space", "traversals"):
        picture(run, name)
    assert report([run]) == run / "report.html"
    page = Page(run / "report.html")
    sections = [name for name in page.ids if not name.startswith("chart-")]
    assert sections == ["samples", "diagnosis", "curves", "pictures", "dimensions", "numbers", "recipe"]
    assert "Likelihood32 images · 100 draws" in page.text, "how it was measured stands once above a metric's numbers"
    assert "A variational autoencoder with 4 latent dimensions" in page.text
    assert "was trained on digits for 6 epochs to maximise the ELBO; epoch 6 is the best" in page.text
    for words in (
        "−60.50",
        "−61.50 … −59.50",
        "32 images · 100 draws",
        "3 of 4",
        "Nothing conspicuous",
        "Test −IWAE bound58.25",
    ):
        assert words in page.text
    for words in ("a note <of> ours", "ais was not measured: no time", "vaelab train tiny <b>", "latent_dim: 4"):
        assert words in page.text
    assert not page.text.count("vaelab figures"), "all usual figures are there"


def test_it_needs_nothing_from_outside(invent, picture):
    run = measured(invent("a"))
    picture(run, "generated_samples")
    page = Page(report([run]))
    assert all(address.startswith("data:") for address in page.addresses)
    assert "@import" not in page.raw and not re.search(r"url\((?!#)", page.raw)
    assert "default-src 'none'" in page.raw, "the browser is told to refuse any request"
    assert len(page.raw) < 100_000


def test_pictures_and_curves_have_words(invent, picture):
    run = measured(invent("a"))
    picture(run, "traversals")
    page = Page(report([run]))
    assert len(page.pictures) == 6 and all(len(words) > 20 for words in page.pictures)
    assert any("validation from 90.00 to 63.90" in words for words in page.pictures)
    assert any("z2 3.00, z4 1.50, z1 0.50 first; 3 of 4 above 0.05 nats" in words for words in page.pictures)


def test_the_same_page_without_a_script(invent):
    page = Page(report([invent("a")]))
    assert page.raw.count("<polyline") == 7, "training and validation of three terms, and β"
    assert all(line.count(",") >= 6 for line in re.findall(r'<polyline[^>]*points="([^"]*)"', page.raw))


def test_figures_that_miss_name_their_command(invent):
    run = invent("a")
    text = Page(report([run])).text
    for name in ("generated_samples", "reconstructions", "latent_space", "traversals"):
        assert f"vaelab figures {run} {name}" in text
    assert "pseudo_inputs" not in text and f"vaelab evaluate {run}" in text


def test_pictures_of_an_epoch_stand_in(invent, picture):
    run = invent("a")
    picture(run, "epoch_0002_samples")
    page = Page(report([run]))
    assert "drawn while training" in page.text and "generated_samples" not in page.text


def test_pictures_of_other_images_are_told_apart(invent, picture, tmp_path):
    one, two = invent("a"), invent("b")
    picture(one, "reconstructions")
    picture(two, "epoch_0002_reconstructions")
    text = Page(report([one, two], tmp_path / "both.html")).text
    assert "b: drawn while training, of validation images" in text and "a: drawn" not in text


def test_large_pictures_become_small(invent):
    import numpy as np
    from PIL import Image

    run = invent("a")
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(run / "figures" / "generated_samples.png")
    page = Page(report([run]))
    assert (
        "data:image/webp" in page.raw
        and len(page.raw) < 700_000 < (run / "figures/generated_samples.png").stat().st_size
    )


def test_several_runs_side_by_side(invent, picture, tmp_path):
    other = {"train": {"epochs": 6, "batch_size": 16, "lr": 0.5}}
    one, two = measured(invent("a")), measured(invent("b", **other))
    better = json.loads((two / "metrics.json").read_text())
    better["metrics"]["likelihood"]["values"]["elbo"] = -50.5
    (two / "metrics.json").write_text(json.dumps(better))
    for run in (one, two):
        picture(run, "traversals")
    page = Page(report([one, two, one], tmp_path / "both.html"))
    assert "2 runs side by side" in page.text and "<b>−50.50</b>" in page.raw and "<b>−60.50</b>" not in page.raw
    differing = page.text.partition("What differs")[2].partition("Diagnosis")[0]
    assert "train.lr" in differing and "0.5" in differing and "latent_dim" not in differing
    assert "recipe" not in page.ids, "differences only"
    assert page.raw.count("data:image/png") == 2 and "different data" not in page.text


def growing(sizes=(4, 8, 16), levels=0):
    """Rows of a run that grows, three epochs to a stage, with a loss that leaps at each new one."""
    rows = []
    for epoch in range(1, 3 * len(sizes) + 1):
        at = {"kind": "epoch", "step": 100 * epoch, "epoch": epoch}
        loss = 90.0 - 5 * ((epoch - 1) % 3)
        values = {"loss": loss, "reconstruction": loss - 5, "kl": 5.0, "beta": 1.0}
        values |= {f"kl_{level}": float(level) for level in range(1, levels + 1)}
        stage = {"resolution": float(sizes[(epoch - 1) // 3]), "alpha": 1.0}
        rows += [at | values | stage | {"kind": "step", "split": "train"}, at | values | stage | {"split": "train"}]
        rows += [at | values | {"split": "valid", "best": False}]
    return rows


def test_a_growing_run_is_told_and_judged_by_its_last_stage(invent):
    page = Page(report([invent("a", growing(levels=3))]))
    assert "for 6 epochs" not in page.text and ", grown from 4 to 16 pixels in 3 stages, to maximise" in page.text
    assert "Judged on the last stage (16 pixels, epochs 7–9)" in page.text
    assert "over the last 3 of 3 epochs" in page.text, "of the stage"
    titles = re.findall(r"<figcaption><h3>([^<]+?) ?<", page.raw)
    assert titles == ["Loss", "Reconstruction", "KL", "KL of each level", "β", "Resolution", "α"]
    assert "level 1 (top) from 1.00 to 1.00; level 2 from 2.00 to 2.00" in str(page.pictures)
    assert "Resolution over the epochs, in pixels: Resolution from 4.00 to 16.00" in str(page.pictures)


def test_a_growing_run_that_was_stopped_before_its_last_stage(invent):
    text = Page(report([invent("a", growing((4, 8)), model=False)])).text
    assert "no epoch was finished" not in text and "once all stages are there" in text
    assert "in its stage of 8 pixels, not yet the last," in text


def test_a_run_of_one_size_is_judged_whole(invent):
    log = RunFolder.read(invent("a")).log
    assert log.last_stage is log and len(log.valid) == 6 and not log.earlier


def test_levels_of_latents_are_told(invent):
    run = invent("a")
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    top = {"kind": "vamp", "components": 500}
    recipe["model"] = {"latent_dim": [1, 3], "backbone": "hierarchical_mlp", "posterior": "two_level"}
    recipe["model"] |= {"prior": {"kind": "two_level", "top": top}, "likelihood": "pixel"}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    values = NUMBERS["likelihood"]["values"] | {"kl_1": 1.5, "kl_2": 3.5}
    page = Page(report([measured(run, NUMBERS | {"likelihood": NUMBERS["likelihood"] | {"values": values}})]))
    assert "4 latent dimensions in 2 levels (1 and 3, the top first)" in page.text
    assert "gated fully connected networks of two levels, a posterior of two levels, a hierarchical prior" in page.text
    assert "with a VampPrior of 500 pseudo-inputs at the top and an autoregressive likelihood of pixels" in page.text
    assert "KL of level 1 (top)1.50 nats" in page.text and "KL of level 2" in page.text
    assert "z2 of level 2 3.00" in str(page.pictures) and "z1 of level 1: 0.5 nats" in page.raw
    assert "level 1 (top)level 2" in page.text.partition("KL of each dimension")[2]


def test_a_run_that_is_running_is_not_called_under_trained(invent):
    run = invent("a", growing((4,)), train={"epochs": 9, "batch_size": 16})
    with recorded(run):
        text = Page(report([run])).text
    assert "is being trained" in text and "so far" in text and "Under-trained" not in text


def test_a_diverged_run_is_told_once(invent):
    run = invent("a", [], model=False)
    reason = "grad_norm is no longer a finite number at step 2; try a smaller train.lr"
    fields = {"term": "grad_norm", "step": 2}
    (run / "state.json").write_text(json.dumps({"state": "failed", "reason": reason, "diverged": fields}))
    text = Page(report([run])).text
    assert "its gradient's norm is no longer a finite number" in text and "Too short" not in text


def test_a_state_is_said_once(invent):
    run = invent("a")
    (run / "state.json").write_text(json.dumps({"state": "stopped", "reason": "stopped at step 277, in epoch 14"}))
    assert "Stopped: at step 277, in epoch 14." in Page(report([run])).text


def test_curves_that_lie_on_one_another_are_all_seen(invent, tmp_path):
    page = Page(report([invent("a"), invent("b"), invent("c", growing())], tmp_path / "all.html"))
    strokes = re.findall(r'stroke-dasharray="6 (\d+)" stroke-dashoffset="(-?\d+)"', page.raw)
    three = [("12", "0"), ("12", "-6"), ("12", "-12")]
    assert strokes == [("6", "0"), ("6", "-6")] * 2 + three + [("6", "0"), ("6", "-6")], "all have the same KL"
    assert page.text.count("a and b lie on one another and take turns in dashes.") == 3
    assert page.text.count("a, b and c lie on one another") == 1


def test_folders_of_images_are_different_data(invent, tmp_path):
    paths = ("/photos/cats", "/photos/dogs", "/others/cats")
    runs = [invent(name, data={"kind": "folder", "path": path}) for name, path in zip("abc", paths, strict=True)]
    text = Page(report(runs[:2], tmp_path / "ab.html")).text
    assert "These runs are of different data (a of cats, b of dogs)" in text
    assert "images in different folders" in Page(report(runs[::2], tmp_path / "ac.html")).text


def test_runs_of_one_recipe_do_not_differ(invent, tmp_path):
    text = Page(report([invent("a"), invent("b")], tmp_path / "both.html")).text
    assert "The recipes do not differ." in text


def test_bounds_of_likelihoods_of_different_kinds_are_said_not_to_compare(invent, tmp_path):
    runs = {}
    for kind in ("bernoulli", "logistic", "normal", "laplace"):
        runs[kind] = invent(kind)
        recipe = yaml.safe_load((runs[kind] / "recipe.yaml").read_text())
        recipe["model"]["likelihood"] = kind
        (runs[kind] / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    told = "score pixels in different ways (bernoulli by 2 levels, logistic by 256 levels, normal by a density, laplace"
    assert told in Page(report(list(runs.values()), tmp_path / "all.html")).text
    densities = Page(report([runs["normal"], runs["laplace"]], tmp_path / "densities.html")).text
    assert "score pixels" not in densities


def test_different_data_is_said_in_one_sentence(invent, tmp_path):
    one, two = measured(invent("a")), measured(invent("b", data={"kind": "shapes", "count": 100}))
    text = Page(report([one, two], tmp_path / "both.html")).text
    assert (
        "These runs are of different data (a of digits, b of shapes), so their losses and numbers do not compare"
        in text
    )
    assert text.count("−60.50") == 2 and "in rows of their own, not compared" in text


def test_other_preparation_is_said_too(invent, tmp_path):
    sizes = {"train_size": 96, "valid_size": 32, "test_size": 32}
    one, two = invent("a"), invent("b", data={"kind": "digits", "binarise": "threshold", **sizes})
    assert "prepared their images differently" in Page(report([one, two], tmp_path / "both.html")).text
    three = invent("c", data={"kind": "digits", **sizes, "train_size": 48})
    assert "differently" not in Page(report([one, three], tmp_path / "both.html")).text


def test_numbers_of_earlier_weights_are_told(invent):
    run = measured(invent("a"), model="0123456789ab")
    assert "metrics.json is of earlier weights" in Page(report([run])).text


def test_numbers_of_earlier_weights_judge_no_later_ones(invent):
    none = {"active_units": NUMBERS["active_units"] | {"values": {"active_units_kl": 0, "latent_dim": 4}}}
    run = measured(invent("a"), NUMBERS | none)
    assert "Posterior collapse" in Page(report([run])).text
    text = Page(report([measured(run, NUMBERS | none, model="0123456789ab")])).text
    assert "Posterior collapse" not in text and "−IWAE bound" not in text and "−60.50" in text, "the table may stay"
    assert "3 of 4" not in text and "the KL of each dimension was not measured of these weights yet" in text
    told = json.loads((run / "metrics.json").read_text()) | {"model": weights_hash(run)}
    (run / "metrics-valid.json").write_text(json.dumps(told))
    assert "Validation −IWAE bound58.25" in Page(report([run])).text, "another split is of these weights"


def test_a_recipe_alone_is_not_called_short(invent):
    run = invent("a", [], model=False)
    (run / "log.jsonl").unlink()
    assert "Too short" not in Page(report([run])).text


def broken(run, name, content):
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("recipe.yaml", None, "there is no recipe.yaml"),
        ("recipe.yaml", b"data: {", "not readable as YAML"),
        ("recipe.yaml", b"data: 5", "recipe.yaml: data is no section"),
        ("recipe.yaml", b"paper: 5\nexpect: [1]\ndata: {kind: digits}", "recipe.yaml: paper is no section"),
        ("recipe.yaml", b"train: 3\nmodel: [1]\ndata: {kind: digits}", "recipe.yaml: train is no section"),
        ("log.jsonl", None, "there is no log.jsonl"),
        ("log.jsonl", b"", "log.jsonl has no rows yet"),
        ("log.jsonl", b"\xff\xfe\n", "a line of log.jsonl is no row of a run"),
        ("log.jsonl", b'3\n{"kind": "epoch"}\n{"kind": "st', "2 lines of log.jsonl are no rows of a run"),
        ("model.safetensors", None, "there is no model.safetensors, so nothing can be measured or sampled"),
        ("model.safetensors", b"rubbish", "model.safetensors is damaged"),
        ("metrics.json", b"{", "metrics.json is damaged or empty"),
        ("metrics.json", b'{"metrics": {"a": 1}}', "metrics.json is damaged or empty"),
        ("figures/traversals.png", b"rubbish", "traversals.png of a cannot be read"),
        ("state.json", b"[", "done"),
    ],
)
def test_what_is_broken_is_said_and_the_rest_is_shown(invent, picture, name, content, said):
    run = measured(invent("a"))
    for figure in ("generated_samples", "traversals"):
        picture(run, figure)
    (run / "state.json").write_text("{}")
    broken(run, name, content)
    page = Page(report([run]))
    assert said in page.text
    assert "Samples of a." in str(page.pictures)
    assert name == "log.jsonl" or "validation from 90.00 to 63.90" in str(page.pictures)
    assert name == "metrics.json" or "−60.50" in page.text


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 10**400, 1e101])
def test_a_number_too_large_for_sums_is_none(invent, value):
    rows = growing((4,))
    rows[4] |= {"loss": value, "kl": value, "reconstruction": value}
    rows[5] |= {"loss": value}
    page = Page(report([invent("a", rows)]))
    assert "are no finite number" in page.text and "1.7e+308" not in page.text and "Traceback" not in page.raw


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", os.fsdecode(b"a\xffb"), "a<b"])
def test_odd_names_of_folders_are_spelled_out(invent, tmp_path, name):
    run, other = invent(name), measured(invent("c"))
    for page in (Page(report([run])), Page(report([run, other], tmp_path / "both.html"))):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", page.raw)
        assert {"a\x1b[2Jb": r"a\x1b[2Jb", "a\nb": "a b", "a<b": "a<b"}.get(name, r"a\udcffb") in page.text


def test_odd_recipes_beside_one_another(invent, tmp_path):
    runs = [invent(name) for name in "abc"]
    for run, text in zip(runs, ("data: 5", "made: hello\nobjective: [1]\nmodel: {backbone: 5}", ""), strict=True):
        (run / "recipe.yaml").write_text(text)
        measured(run)
    page = Page(report(runs, tmp_path / "all.html"))
    assert "a: recipe.yaml: data is no section" in page.text and page.text.count("−60.50") == 3


def test_values_that_are_none(invent):
    nothing = {
        "kind": "epoch",
        "step": 6,
        "epoch": 1,
        "split": "valid",
        "loss": None,
        "reconstruction": None,
        "kl": None,
    }
    page = Page(report([invent("a", [nothing, nothing | {"step": 12, "epoch": 2, "best": True}])]))
    assert "no finite number" in page.text and "curves" not in page.ids


def test_a_run_that_is_none(invent, tmp_path):
    run, empty = invent("a"), tmp_path / "empty"
    empty.mkdir()
    for paths in ([tmp_path / "nowhere"], [empty], [empty, tmp_path / "nowhere"]):
        with pytest.raises(UsageError, match="no run"):
            report(paths)
    page = Page(report([run, empty], tmp_path / "one.html"))
    assert f"{empty} holds no run" in page.text and "was trained on digits" in page.text


def test_refreshing_never_fails(invent, capsys):
    run = invent("a")
    (run / "report.html").mkdir()
    refresh(run)
    said = capsys.readouterr().err
    assert said.startswith(f"note: the report of {run} was not written: ") and len(said.splitlines()) == 1
    shutil.rmtree(run)
    refresh(run)
    assert "note: " in capsys.readouterr().err


def test_it_is_quick(invent):
    import time

    run = measured(invent("a"))
    report([run])
    began = time.perf_counter()
    report([run])
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("kind", ["perceptual", "pyramid"])
def test_a_loss_that_is_no_likelihood_is_not_called_one(invent, kind):
    run = invent("a")
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["model"]["likelihood"] = {"kind": kind}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    text = Page(report([run])).text
    assert f"and a {kind} loss in place of a likelihood, was trained on digits" in text
    assert "for 6 epochs to minimise that loss and the KL; epoch 6" in text
    assert "Validation loss at β = 1" in text and f"{kind} likelihood" not in text and "ELBO" not in text


def test_the_dot_of_one_epoch_has_room(invent):
    one = RunFolder.read(invent("a", growing((4,))[:3]))
    (loss, *_), (other, *_) = curves_of(one), curves_of_all([one], ["a"])
    for chart in (loss, other):
        assert chart.view[0] < 1 < chart.view[1] and ' lone" points="' in chart.svg
    more = curves_of(RunFolder.read(invent("b")))[0]
    assert more.view[1] == 6 and "lone" not in more.svg


def test_dots_that_lie_on_one_another_have_no_dashes(invent):
    runs = [RunFolder.read(invent(name, growing((4,))[:3])) for name in "ab"]
    chart = curves_of_all(runs, ["a", "b"])[0]
    assert chart.alike == [["a", "b"]] and not chart.dashes and "stroke-dasharray" not in chart.svg


def test_what_is_no_run_is_noted(invent, tmp_path, capsys):
    report([invent("a"), tmp_path / "nowhere"], tmp_path / "one.html")
    said = capsys.readouterr().err
    assert said.startswith(f"note: {tmp_path / 'nowhere'} is no run folder") and len(said.splitlines()) == 1


def test_a_number_and_a_schedule_are_one_row(invent):
    runs = [invent("a"), invent("b", objective={"kind": "elbo", "beta": 1.0})]
    found = differences([RunFolder.read(run) for run in runs])
    assert found == [("objective.beta", ["linear, epochs 2", "1.0"])]


@pytest.mark.parametrize("length", [4, 100, -1])
def test_a_model_that_was_cut_is_damaged(invent, length):
    run = invent("a")
    assert not RunFolder.read(run).problems
    broken(run, "model.safetensors", (run / "model.safetensors").read_bytes()[:length])
    (problem,) = RunFolder.read(run).problems
    assert problem.startswith("model.safetensors is damaged")


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("recipe.yaml", "was to be trained on digits for 6 epochs to maximise the ELBO."),
        ("recipe.yaml model.safetensors", "was trained on digits, for how long is not known, to maximise the ELBO."),
        ("model.safetensors", "What was trained is not known, because its recipe cannot be read, nor for how long."),
    ],
)
def test_how_long_is_said_only_where_it_is_known(invent, left, said):
    run = invent("a")
    for name in {"recipe.yaml", "log.jsonl", "model.safetensors"} - set(left.split()):
        (run / name).unlink()
    assert sentence(RunFolder.read(run)).endswith(said)


@pytest.mark.parametrize("role", ["backbone", "posterior", "prior", "likelihood"])
def test_the_words_of_every_part_are_filled_in_with_its_options(role):
    for kind in names(role):
        words = said(role, Part(kind))
        assert words.startswith(("a ", "an ")) or role == "backbone"
        assert not set("{}") & set(words)


def test_who_carried_on_is_said(invent):
    epochs = [{"kind": "epoch", "epoch": n, "step": 6 * n, "split": "valid", "loss": 9.0} for n in (1, 2)]
    others = {"kind": "processes", "step": 7, "epoch": 7 / 6, "split": "train", "processes": 3, "processes_before": 2}
    one = others | {"step": 10, "processes": 1}
    told = sentence(RunFolder.read(invent("a", [epochs[0], others, one, epochs[1]])))
    assert ", from step 7 on by 3 processes, from step 10 on by 1 process, to maximise the ELBO" in told
