"""Runs side by side: only numbers of one protocol share a row, seeds are pooled, and a reader is told what differs."""

import csv
import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

import vaelab
from vaelab.errors import UsageError
from vaelab.evaluation.compare import compare
from vaelab.recipe.recipe import Recipe, as_json
from vaelab.runs.folder import RunFolder
from vaelab.training.checkpoint import save_model

DATA = {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 32}
OPTIONS = {
    "data": DATA,
    "model": {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 8}},
    "objective": "elbo",
    "train": {"epochs": 1},
}
COMMON = {"split": "test", "images": 32}
SQUEEZE = {"name": "squeezenet", "hash": "aaaa", "resize": "224"}


@pytest.fixture
def make(tmp_path):
    """Makes a run of an untrained model, with numbers of ours."""

    def make_run(name, metrics, seed=0, options=OPTIONS, **report):
        torch.manual_seed(seed)
        recipe = Recipe.of(options | {"train": options["train"] | {"seed": seed}}, "tiny")
        folder = tmp_path / name
        folder.mkdir(parents=True)
        metadata = {"recipe": as_json(recipe.name, recipe.options), "x_shape": "[1, 8, 8]"}
        save_model(folder / "model.safetensors", recipe.build_model((1, 8, 8)), metadata)
        weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]
        report = {"run": name, "model": weights, "metrics": metrics} | report
        (folder / "metrics.json").write_text(json.dumps(report))
        return folder

    return make_run


def entry(values, intervals=None, **protocol):
    """What metrics.json says of a metric."""
    return {"values": values, "intervals": intervals or {}, "protocol": COMMON | protocol}


def plain(value):
    """One number that is better if larger."""
    return {"reconstruction": entry({"psnr": value}, kind="reconstruction")}


def table(made):
    """The cells of the Markdown table by row label."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in made.text.splitlines() if line[:1] == "|"]
    return {label: cells for label, _, *cells in [lines[0], *lines[2:]]}


def test_a_row_for_every_number_with_its_interval_and_best(make, tmp_path):
    metrics = {
        "likelihood": entry({"elbo": -90.5, "kl": 12.25, "elbo_error": 0.5}, {"elbo": [-91.5, -89.5]}),
        "frechet": entry({"frechet": 0.01234, "frechet_unbiased": None}, extractor=SQUEEZE),
        "active_units": entry({"active_units": 7}),
        "sharpness": entry({"tenengrad_ratio": 0.9}),
    }
    better = {
        "likelihood": entry({"elbo": -80.5, "kl": 13.25}),
        "frechet": entry({"frechet": 0.02}, extractor=SQUEEZE),
        "active_units": entry({"active_units": 8}),
        "sharpness": entry({"tenengrad_ratio": 1.3}),
    }
    other = OPTIONS | {"model": OPTIONS["model"] | {"latent_dim": 3}}
    made = compare([make("a", metrics), make("b", better, options=other)], out=tmp_path / "out", figures=False)
    assert table(made) == {
        "": ["a", "b"],
        "elbo": ["-90.50 [-91.50, -89.50]", "**-80.50**"],
        "kl": ["12.25", "13.25"],
        "frechet, squeezenet": ["**0.01234**", "0.02"],
        "active_units": ["7", "8"],
        "tenengrad_ratio": ["**0.9**", "1.30"],
    }
    assert made.notes == []
    written = (tmp_path / "out" / "comparison.md").read_text()
    assert written == made.text
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        first, *rest = csv.DictReader(file)
    assert len(rest) == 9
    assert (first["name"], first["run"], first["value"], first["low"], first["high"]) == (
        *("elbo", "a", "-90.5", "-91.5", "-89.5"),
    )
    assert (first["best"], first["runs"], json.loads(first["protocol"])["split"]) == ("False", "1", "test")
    assert made.files == [tmp_path / "out" / "comparison.md", tmp_path / "out" / "comparison.csv"]
    assert vaelab.compare is compare


@pytest.mark.parametrize(
    ("ours", "theirs", "labels", "differ"),
    [
        (
            {"extractor": SQUEEZE},
            {"extractor": SQUEEZE | {"hash": "bbbb"}},
            ["frechet, squeezenet, extractor.hash aaaa", "frechet, squeezenet, extractor.hash bbbb"],
            "extractor.hash",
        ),
        (
            {"extractor": SQUEEZE},
            {"extractor": {"name": "pixels", "hash": "cccc", "resize": "no"}},
            ["frechet, squeezenet", "frechet, pixels"],
            "extractor.name, extractor.hash, extractor.resize",
        ),
        ({"images": 32}, {"images": 16}, ["frechet, images 32", "frechet, images 16"], "images"),
        ({"split": "test"}, {"split": "valid"}, ["frechet, split test", "frechet, split valid"], "split"),
        ({"pca_dim": None}, {"pca_dim": 8}, ["frechet, pca_dim None", "frechet, pca_dim 8"], "pca_dim"),
        ({"fakes": 10}, {"fakes": 20}, ["frechet, fakes 10", "frechet, fakes 20"], "fakes"),
    ],
)
def test_numbers_of_different_protocols_never_share_a_row(make, tmp_path, ours, theirs, labels, differ):
    runs = [make(n, {"frechet": entry({"frechet": v}, **p)}) for n, v, p in (("a", 1.5, ours), ("b", 2.5, theirs))]
    made = compare(runs, out=tmp_path / "out", figures=False, group=False)
    assert table(made) == {"": ["a", "b"], labels[0]: ["1.50", "–"], labels[1]: ["–", "2.50"]}
    assert made.notes == [f"frechet: in rows of their own, not compared, because runs differ in {differ}"]


def test_bounds_of_different_kinds_never_share_a_row_but_bits_of_levels_do(make, tmp_path):
    numbers = {"elbo": -90.0, "bits_per_dim": 1.5, "kl": 9.0}
    kinds = ("density", "levels", "binary")
    runs = [make(kind, {"likelihood": entry(numbers, scores=kind, kind="likelihood")}) for kind in kinds]
    made = compare(runs, out=tmp_path / "c", figures=False)
    shared = {(row.name, *row.cells) for row in made.rows}
    bits = {("bits_per_dim", "density", "levels"), ("bits_per_dim", "binary")}
    assert shared == {*(("elbo", kind) for kind in kinds), *bits, ("kl", *kinds)}
    assert "elbo, bits_per_dim: in rows of their own, not compared, because runs differ in scores" in made.notes
    assert not any(row.best for row in made.rows), "one value is no best among its equals"


def test_bounds_on_different_scales_never_share_a_row(make, tmp_path):
    scales = {"eight": {}, "twelve": {"scale": {"low": 0, "high": 4095, "levels": 4096}}}
    runs = [
        make(name, {"likelihood": entry({"elbo": -90.0, "kl": 9.0}, scores="levels", kind="likelihood", **scale)})
        for name, scale in scales.items()
    ]
    made = compare(runs, out=tmp_path / "c", figures=False)
    assert {(row.name, *row.cells) for row in made.rows} == {("elbo", "eight"), ("elbo", "twelve"), ("kl", *scales)}


def test_conditional_bounds_are_no_others(make, tmp_path):
    runs = [
        make("plain", {"likelihood": entry({"elbo": -90.0}, kind="likelihood")}),
        make("conditional", {"likelihood": entry({"elbo": -80.0}, kind="likelihood", given="the class of each image")}),
    ]
    assert len(compare(runs, out=tmp_path / "c", figures=False).rows) == 2


def test_seeds_and_what_was_found_are_no_protocol(make, tmp_path):
    runs = [
        make("a", {"probe": entry({"probe_knn": 0.5}, seed=0, fitted_on=96)}),
        make("b", {"probe": entry({"probe_knn": 0.6}, seed=1, fitted_on=95)}),
    ]
    made = compare(runs, out=tmp_path / "out", figures=False, group=False)
    assert table(made)["probe_knn"] == ["0.5", "**0.6**"] and made.notes == []


def test_seeds_of_one_recipe_are_one_column(make, tmp_path):
    numbers = [20.0, 21.0, 25.0]
    runs = [make(f"run-{seed}", plain(value), seed) for seed, value in enumerate(numbers)]
    twin = make("twin", plain(30.0), seed=2)
    other = make("other", plain(1.0), options=OPTIONS | {"objective": {"kind": "iwae", "samples": 2}})
    made = compare([*runs, twin, other], out=tmp_path / "out", figures=False)
    assert made.columns == {"run-0 (3 seeds)": 3, "twin": 1, "other": 1}
    cell = made.rows[0].cells["run-0 (3 seeds)"]
    expected = stats.t.interval(0.95, 2, np.mean(numbers), stats.sem(numbers))
    np.testing.assert_allclose([cell.value, *cell.interval], [22, *expected])
    apart = compare([*runs, twin, other], out=tmp_path / "out", figures=False, group=False)
    assert list(apart.columns) == ["run-0", "run-1", "run-2", "twin", "other"]


def test_a_number_that_some_seeds_lack_says_of_how_many_it_is(make, tmp_path):
    runs = [make(f"run-{seed}", plain(20.0 + seed), seed) for seed in range(2)]
    runs.append(make("run-2", {"ais": entry({"ais": -90.0})}, seed=2))
    cells = table(compare(runs, out=tmp_path / "out", figures=False))
    assert cells == {"": ["run-0 (3 seeds)"], "psnr": ["20.50 [14.15, 26.85] of 2"], "ais": ["-90.00 of 1"]}


@pytest.mark.parametrize(
    ("order", "columns"),
    [
        (None, ["a", "b", "c (2 seeds)"]),
        (["c", "a"], ["c (2 seeds)", "a", "b"]),
        (["d", "c"], ["c (2 seeds)", "a", "b"]),
    ],
)
def test_the_order_is_the_users(make, tmp_path, order, columns):
    a, b = (make(n, plain(1.0), options=OPTIONS | {"train": {"epochs": e}}) for n, e in (("a", 1), ("b", 2)))
    seeds = [make(n, plain(1.0), seed, OPTIONS | {"train": {"epochs": 3}}) for seed, n in enumerate("cd")]
    assert list(compare([a, b, *seeds], order=order, out=tmp_path / "out", figures=False).columns) == columns


def test_of_how_many_images_numbers_are(make, tmp_path):
    runs = [make(name, plain(1.0), images=10_000, split="test") for name in ("a", "b")]
    made = compare(runs, out=tmp_path / "c", figures=False)
    assert "a, b: 32 of 10,000 test images" in made.notes


def test_what_was_not_measured_and_what_one_must_know_is_passed_on(make, tmp_path):
    told = {"unavailable": {"lpips": "no weights"}, "notes": ["β is not 1"]}
    runs = [make(name, plain(1.0), **told) for name in ("a", "b")]
    made = compare(runs, out=tmp_path / "out", figures=False, group=False)
    assert made.notes == ["a, b: lpips is not measured: no weights", "a, b: β is not 1"]
    assert "- a, b: β is not 1" in made.text


def test_figures_stand_beside_real_images(make, tmp_path):
    runs = [make("a", plain(1.0)), make("real/real", plain(2.0), seed=1)]
    made = compare(runs, out=tmp_path / "out", group=False, n=20, device="cpu")
    names = ["samples", "reconstructions", "boxes", "violins"]
    assert made.files[:4] == [tmp_path / "out" / f"{name}.png" for name in names]
    for path in made.files[:4]:
        assert np.asarray(Image.open(path)).std() > 5
    assert list(made.columns) == ["a", "real-real"] and made.notes == []
    written = (tmp_path / "out" / "comparison.md").read_text()
    assert all(f"![{name}]({name}.png)" in written for name in names)


def test_the_same_figures_twice(make, tmp_path):
    runs = [make("a", plain(1.0)), make("b", plain(2.0), seed=1)]
    first, second = (compare(runs, out=tmp_path / out, group=False, n=20, device="cpu") for out in ("x", "y"))
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]


def test_runs_of_other_images_have_rows_of_their_own_and_no_figures(make, tmp_path):
    runs = [make("a", plain(1.0)), make("b", plain(2.0), options=OPTIONS | {"data": DATA | {"test_size": 16}})]
    made = compare(runs, out=tmp_path / "out", device="cpu")
    assert table(made) == {
        "": ["a", "b"],
        "psnr, data.test_size 32": ["1.00", "–"],
        "psnr, data.test_size 16": ["–", "2.00"],
    }
    assert made.notes[1] == "no figures: a and b are of different images; compare them apart"
    assert [path.suffix for path in made.files] == [".md", ".csv"]


def test_fewer_training_images_do_not_make_other_test_images(make, tmp_path):
    runs = [make("a", plain(1.0)), make("b", plain(2.0), options=OPTIONS | {"data": DATA | {"train_size": 50}})]
    made = compare(runs, out=tmp_path / "out", figures=False)
    assert table(made)["psnr"] == ["1.00", "**2.00**"]


def test_runs_without_numbers_of_their_weights_are_measured(make, tmp_path, capsys):
    good, bare, stale = (make(n, plain(1.0), seed=i) for i, n in enumerate(("good", "bare", "stale")))
    (bare / "metrics.json").unlink()
    (stale / "metrics.json").write_text(json.dumps({"model": "0", "metrics": plain(1.0)}))
    made = compare([good, bare, stale], out=tmp_path / "out", figures=False, group=False, device="cpu")
    cells = table(made)["psnr"]
    assert cells[0] == "1.00" and "–" not in cells and all(float(c.split()[0].strip("*")) > 1 for c in cells[1:])
    assert list(RunFolder.read(bare).measured["test"].metrics) == ["reconstruction"], "by what the others are measured"
    assert RunFolder.read(good).measured["test"].values == {"psnr": 1.0}
    told = capsys.readouterr().err
    assert f"note: {bare} has no metrics.json; measuring it now" in told and "stale was trained on since" in told


def test_runs_that_cannot_be_compared_are_refused_in_one_sentence(make, tmp_path):
    good, bare, stale, empty, broken = (make(n, plain(1.0)) for n in ("good", "bare", "stale", "empty", "broken"))
    (bare / "metrics.json").unlink()
    (stale / "metrics.json").write_text(json.dumps({"model": "0", "metrics": plain(1.0)}))
    (empty / "metrics.json").write_text('{"metrics": {}}')
    (broken / "metrics.json").write_text('{"metrics": {"psnr": 3')
    cases = {
        bare: rf"bare has no metrics.json; run: vaelab evaluate {bare}",
        stale: r"stale was trained on since it was evaluated; run: vaelab evaluate",
        empty: r"metrics.json holds no metrics; run: ",
        broken: r"metrics.json is damaged or of another program; run: ",
        tmp_path / "nowhere": r"no model.safetensors in .*nowhere: the folder does not exist",
        good: r"a comparison needs two different runs or more; name their folders",
    }
    for run, message in cases.items():
        with pytest.raises(UsageError, match=message) as error:
            compare([good, run], out=tmp_path / "out", measure=False)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match=r"order: no run 'goood' in this comparison; did you mean 'good'\?"):
        compare([good, make("other", plain(2.0), seed=1)], order=["goood"], out=tmp_path / "out", group=False)


def test_names_of_folders_break_no_table(make, tmp_path):
    made = compare(
        [make("a\x1b[2J\nb", plain(1.0)), make("c", plain(2.0), seed=1)], out=tmp_path / "out", n=20, group=False
    )
    assert table(made)[""] == [r"a\x1b[2J\nb", "c"] and len(made.text.splitlines()) == 5
    assert (tmp_path / "out" / "samples.png").is_file()
