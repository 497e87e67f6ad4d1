"""Numbers in files: they repeat, they stay as long as they are true, and images by any generator have some too."""

import errno
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaelab
import vaelab.recipe.recipe  # registers all parts
from vaelab.data import load
from vaelab.errors import UsageError, VaelabError
from vaelab.evaluation import evaluate as evaluation
from vaelab.evaluation.images import write_images
from vaelab.likelihoods.normal import NormalLikelihood
from vaelab.registry import names
from vaelab.runs.results import MetricResult, Results, Verdict

TINY = """
expect:
  ssim: {at_least: -1}
  elbo: {at_least: -1e9}
  probe_knn: {at_least: 0}
  train_loss: {at_most: 1e9}
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 40}
model: {latent_dim: 2, backbone: {kind: mlp, width: 16}, likelihood: normal}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 0}
"""
DRAWN = ("frechet", "kernel", "precision_recall", "memorisation")
MISSPELT = "real 'digit' is neither a folder nor a set; did you mean 'digits'"


def stored(path):
    """What a file of results holds, read and written again."""
    results = Results.read(path)
    return results and results.model_dump(mode="json", exclude_unset=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    return vaelab.train(str(folder / "tiny.yaml"), run=folder / "run", device="cpu", quiet=True)


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A run of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def digits():
    """Splits of 100 images."""
    return load("digits", train_size=100, valid_size=100, test_size=100)


@pytest.fixture
def put(tmp_path):
    """`put("name", images)`: uint8 images [N, C, H, W] as PNGs in a folder of that name."""

    def written(name: str, images: torch.Tensor) -> Path:
        write_images(images.float() / 255, tmp_path / name)
        return tmp_path / name

    return written


def evaluate(run: Path, *metrics: str, **options) -> dict:
    return vaelab.evaluate(run, metrics=metrics, device="cpu", **options)


def judge(fake, real, *metrics: str, **options) -> dict:
    """The numbers of a folder of images, on pixels."""
    given = {"extractor": "pixels"} | options
    report = vaelab.evaluate_images(fake, real, metrics=metrics or ["frechet"], device="cpu", **given)
    return {k: v for entry in report["metrics"].values() for k, v in entry["values"].items()}


def timeless(path: Path) -> dict:
    """A metrics.json without its seconds."""
    report = json.loads(path.read_text())
    assert all(entry.pop("seconds") >= 0 for entry in report["metrics"].values())
    return report


def test_the_same_call_gives_the_same_file_but_for_the_seconds(run):
    """Over its own file, over none, and whatever random numbers were drawn before."""
    files = []
    for again in (False, False, True):
        if again:
            (run / "metrics.json").unlink()
        torch.rand(17 * (1 + len(files)))
        evaluate(run, *DRAWN, "likelihood", extractor="pixels", sampler="gmm", seed=3, n=30, likelihood={"samples": 5})
        files.append(timeless(run / "metrics.json"))
    assert files[0] == files[1] == files[2]
    assert [*files[0]["metrics"]] == [*DRAWN, "likelihood"] and not files[0]["unavailable"]


def test_what_is_returned_is_what_is_in_the_file(run):
    assert evaluate(run, "reconstruction") == json.loads((run / "metrics.json").read_text())


def test_other_numbers_of_the_same_weights_stay_until_they_are_computed_anew(run):
    first = evaluate(run, "reconstruction", "frechet", extractor="pixels", n=20)["metrics"]
    second = evaluate(run, "active_units", "frechet", extractor="pixels", n=30)["metrics"]
    assert list(second) == ["reconstruction", "frechet", "active_units"]
    assert second["reconstruction"] == first["reconstruction"]
    assert (first["frechet"]["protocol"]["fakes"], second["frechet"]["protocol"]["fakes"]) == (20, 30)


@pytest.mark.parametrize("change", ["trained on", "replaced"])
def test_numbers_of_other_weights_are_gone(run, tmp_path, change):
    before = evaluate(run, "reconstruction", "active_units")
    other = run if change == "trained on" else tmp_path / "other"
    if change == "replaced":
        shutil.copytree(run, other)
    vaelab.train(str(other), "train.epochs=3", run=other, device="cpu", quiet=True, resume=True)
    if change == "replaced":
        shutil.copy(other / "model.safetensors", run)
    after = evaluate(run, "reconstruction")
    assert list(after["metrics"]) == ["reconstruction"] and after["model"] != before["model"]
    assert after["metrics"]["reconstruction"]["values"] != before["metrics"]["reconstruction"]["values"]


def test_a_split_has_its_own_file_and_bars_are_for_test_images(run):
    test = evaluate(run, "reconstruction")
    before = (run / "metrics.json").read_bytes()
    valid = evaluate(run, "reconstruction", split="valid")
    assert (run / "metrics.json").read_bytes() == before
    assert json.loads((run / "metrics-valid.json").read_text()) == valid
    assert (test["images"], valid["images"]) == (40, 32)
    assert [verdict["name"] for verdict in test["expected"]] == ["ssim", "train_loss"]
    assert [verdict["name"] for verdict in valid["expected"]] == ["train_loss"], "that one is of the log"


def test_bars_are_for_numbers_of_all_test_images(run):
    part = evaluate(run, "likelihood", "probe", likelihood={"images": 11, "samples": 2})
    assert [verdict["name"] for verdict in part["expected"]] == ["probe_knn", "train_loss"]
    whole = evaluate(run, "likelihood", likelihood={"samples": 2})
    assert [verdict["name"] for verdict in whole["expected"]] == ["elbo", "probe_knn", "train_loss"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"metrics": {"frechet"',
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"null",
        b'{"metrics": [], "model": "MODEL"}',
        b'{"model": "MODEL"}',
        b'{"metrics": {"ssim": 3}}',
        b'{"metrics": {"ssim": 3}, "model": "MODEL"}',
    ],
)
def test_a_file_that_is_damaged_or_foreign_is_replaced(run, content):
    model = evaluate(run, "reconstruction")["model"]
    (run / "metrics.json").write_bytes(content.replace(b"MODEL", model.encode()))
    assert list(evaluate(run, "active_units")["metrics"]) == ["active_units"]
    assert list(json.loads((run / "metrics.json").read_text())["metrics"]) == ["active_units"]


@pytest.mark.parametrize(
    "change",
    [
        {"unavailable": "x"},
        {"unavailable": {"ais": 3}},
        {"notes": [1]},
        {"expected": [{"name": "elbo"}]},
        {"data": 5},
        {"metrics": {"ssim": {"values": {"ssim": "0.5"}, "protocol": {}, "notes": []}}},
        {"metrics": {"ssim": {"values": {"ssim": 0.5}, "protocol": [], "notes": []}}},
        {"metrics": {"ssim": {"values": {"ssim": 0.5}, "protocol": {}, "notes": [], "intervals": {"ssim": [1]}}}},
        {"metrics": {"ssim": {"values": {"ssim": 0.5}, "protocol": {}, "notes": [], "curves": {"a": [1]}}}},
        {"notes": ["\ud800"]},
        {"metrics": {"ssim": {"values": {"ssim": math.nan}, "protocol": {}, "notes": []}}},
    ],
)
def test_numbers_of_wrong_types_count_as_none_for_everybody(run, tmp_path, change):
    report = evaluate(run, "reconstruction")
    path = run / "metrics.json"
    assert stored(path) == report
    path.write_text(json.dumps(report | change))
    assert Results.read(path) is None
    with pytest.raises(UsageError, match="is damaged or of another program; run: "):
        both = [run, shutil.copytree(run, tmp_path / "other")]
        vaelab.compare(both, out=tmp_path / "out", figures=False, measure=False)
    assert list(evaluate(run, "active_units")["metrics"]) == ["active_units"]


def test_odd_rows_and_recipes_cost_no_number(run):
    with (run / "log.jsonl").open("ab") as file:
        file.write(
            b'\xff\nnull\n{"a": 1}\n{"kind": "epoch", "split": "train", "step": 12, "epoch": 2, "loss": 1.7e308}\n'
        )
    (run / "recipe.yaml").write_text("made: hello")
    report = evaluate(run, "reconstruction")
    assert [verdict["name"] for verdict in report["expected"]] == ["ssim", "train_loss"]


def test_a_place_that_takes_no_file_is_refused_before_measuring(run, monkeypatch):
    (run / "metrics.json").mkdir()
    monkeypatch.setattr(evaluation, "measure", None)
    with pytest.raises(UsageError, match="it is a folder"):
        evaluate(run, "reconstruction")

    def read_only(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (run / "metrics.json").rmdir()
    monkeypatch.setattr(Path, "touch", read_only)
    with pytest.raises(VaelabError, match="make the place writable, or choose another place"):
        evaluate(run, "reconstruction")


def test_numbers_go_where_they_are_told(run, tmp_path):
    report = evaluate(run, "reconstruction", out=tmp_path / "mine.json")
    assert stored(tmp_path / "mine.json") == report and not (run / "metrics.json").exists()


def test_numbers_that_cannot_be_written_are_in_the_error(run, monkeypatch):
    def full(path, write):
        raise VaelabError("the disk is full")

    monkeypatch.setattr(evaluation, "write_whole", full)
    with pytest.raises(evaluation.Unwritten, match="the disk is full") as error:
        evaluate(run, "reconstruction")
    assert error.value.report["metrics"]["reconstruction"]["values"]["mse"] > 0 and error.value.exit_code == 1


def test_a_recipe_that_was_altered_is_told_with_its_own_length(trained, tmp_path):
    run = vaelab.train(str(trained.parent / "tiny.yaml"), "train.epochs=1", run=tmp_path / "short", quiet=True)
    verdict = next(v for v in evaluate(run, "reconstruction")["expected"] if v["name"] == "ssim")
    assert verdict["met"] is None and (verdict["altered"]["epochs"], verdict["epoch"]) == (2, 1)
    told = Verdict(**verdict | {"reached": 0.25}).text("SSIM", str)
    assert told == "no verdict: SSIM: expected at least -1 after 2 epochs; here 0.25 after 1 epoch (train.epochs=1)"
    bar = {"name": "elbo", "value": -85.57, "tolerance": 0.3, "samples": 5000, "reached": -85.5, "met": True}
    assert Verdict(**bar).text("elbo", str) == "reached: elbo -85.5 (-85.57 ± 0.3)"
    assert Verdict(**bar | {"met": False}).text("elbo", str).startswith("MISSED: ")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([], "10,000 test images"),
        ([10_000, 10_000], "10,000 test images"),
        ([100, 100], "100 of 10,000 test images"),
        ([100, 10_000, 1_000], "10,000 test images, some numbers of 100 and 1,000"),
        ([100, 1_000], "10,000 test images, some numbers of 100 and 1,000"),
        ([None], "10,000 test images"),
    ],
)
def test_a_heading_says_how_many_images_the_numbers_are_of(counts, said):
    metrics = {str(i): MetricResult(values={}, protocol={"images": count}) for i, count in enumerate(counts)}
    assert Results(images=10_000, split="test", metrics=metrics).counted == said


def test_the_protocol_stands_beside_each_number(run):
    chosen = ("frechet", "reconstruction", "probe")
    entries = evaluate(run, *chosen, extractor="classifier", seed=4, n=25, sampler="gmm", pixels="sample")["metrics"]
    for name in chosen:
        assert entries[name]["protocol"].items() >= {"kind": name, "split": "test", "images": 40}.items()
        assert entries[name]["versions"]["torch"] == torch.__version__ and entries[name]["seconds"] >= 0
    frechet, reconstruction = entries["frechet"]["protocol"], entries["reconstruction"]["protocol"]
    assert (
        frechet.items()
        >= {"fakes": 25, "sampler": {"kind": "gmm"}, "pixels": "sample", "seed": 4, "fakes_seed": 4}.items()
    )
    assert frechet["extractor"].keys() == {"name", "hash", "resize"} and "32×32" in frechet["extractor"]["resize"]
    assert re.fullmatch("[0-9a-f]{12}", frechet["extractor"]["hash"])
    assert entries["probe"]["protocol"]["seed"] == 4, "it picks training images"
    assert not {"seed", "sampler", "fakes", "extractor"} & reconstruction.keys(), (
        "nothing is drawn, there are no features"
    )
    again = evaluate(run, "frechet", extractor="classifier", seed=5)["metrics"]["frechet"]["protocol"]
    assert again["extractor"] == frechet["extractor"], "the same training images, the same network"


def test_what_cannot_be_measured_is_said_until_it_can(run):
    first = evaluate(run, "frechet", "disentanglement", "reconstruction", extractor="squeezenet")
    assert list(first["metrics"]) == ["reconstruction"]
    assert list(first["unavailable"]) == ["frechet", "disentanglement"]
    assert all(reason and "\n" not in reason for reason in first["unavailable"].values())
    second = evaluate(run, "frechet", extractor="pixels")
    assert list(second["metrics"]) == ["reconstruction", "frechet"]
    assert second["unavailable"] == {"disentanglement": first["unavailable"]["disentanglement"]}
    third = evaluate(run, "frechet", extractor="squeezenet")
    assert list(third["metrics"]) == ["reconstruction"], "a number under other options is no answer"
    assert third["unavailable"] == first["unavailable"]


def test_what_is_no_likelihood_is_not_reported_as_one(run, monkeypatch):
    plain = evaluate(run, "reconstruction")
    assert any("density" in note for note in plain["notes"])
    monkeypatch.setattr(NormalLikelihood, "scores", "loss")
    report = evaluate(run, "likelihood", "elbo_surgery", "ais", "reconstruction", "active_units")
    assert {"likelihood", "ais"} <= report["unavailable"].keys() and "active_units" in report["metrics"]
    assert "is no density of images" in report["unavailable"]["likelihood"]
    assert report["metrics"]["reconstruction"]["values"] == plain["metrics"]["reconstruction"]["values"]
    assert not any("density" in note for note in report["notes"]), "it is none"


def test_images_without_labels_have_no_probe_and_no_classifier(digits, put, tmp_path):
    recipe = f"{{kind: folder, path: {put('faces', digits.train.images)}, channels: 1}}"
    (tmp_path / "tiny.yaml").write_text(re.sub("{kind: digits.*}", recipe, TINY))
    run = vaelab.train(str(tmp_path / "tiny.yaml"), run=tmp_path / "new", device="cpu", quiet=True)
    report = evaluate(run, "probe", "frechet", "reconstruction", extractor="classifier")
    assert list(report["metrics"]) == ["reconstruction"]
    assert report["unavailable"]["probe"] == "a probe needs labels; take a data set with classes"
    assert report["unavailable"]["frechet"].startswith("a classifier needs labels")


@pytest.mark.parametrize("sampler", names("sampler"))
def test_any_sampler_is_judged_by_the_same_metrics(run, sampler):
    options = {"steps": 3} if sampler in ("flow", "two_stage") else {}
    entry = evaluate(run, "frechet", extractor="pixels", sampler={"kind": sampler, **options})["metrics"]["frechet"]
    assert entry["protocol"]["sampler"] == {"kind": sampler, **options} and entry["values"]["frechet"] > 0


def test_a_sampler_that_cannot_be_fitted_leaves_the_other_metrics(run):
    report = evaluate(run, "frechet", "reconstruction", extractor="pixels", sampler={"kind": "gmm", "components": 97})
    assert list(report["metrics"]) == ["reconstruction"]
    assert "97 components need as many images" in report["unavailable"]["frechet"]


def test_a_folder_against_a_folder_and_against_a_set_are_the_same_numbers(digits, put):
    fake = put("fake", digits.valid.images)
    spec = {"kind": "digits", "train_size": 100, "valid_size": 100, "test_size": 100}
    folder = {"kind": str(put("real", digits.test.images)), "channels": 1}
    of_set, of_folder = (judge(fake, real, "frechet", "precision_recall") for real in (spec, folder))
    for found in (of_set, of_folder):
        del found["frechet_unbiased"]  # its parts depend on the order of the images
    assert of_folder == pytest.approx(of_set, rel=1e-6)


def test_a_set_with_options(digits, put):
    real = {"kind": "digits", "train_size": 100, "valid_size": 100, "test_size": 100, "resize": 16}
    large = load(real["kind"], **{k: v for k, v in real.items() if k != "kind"})
    fake = put("fake", large.valid.images)
    report = vaelab.evaluate_images(fake, real, metrics=["frechet"], extractor="pixels", split="train", device="cpu")
    assert (report["data"], report["split"], report["images"]) == ("digits", "train", 100)
    assert report["metrics"]["frechet"]["protocol"]["features"] == 256


def test_a_folder_against_itself(digits, put):
    same = put("same", digits.test.images)
    found = judge(same, str(same), "frechet", "kernel", "precision_recall")
    assert found["frechet"] == pytest.approx(0, abs=1e-9)
    assert found["precision"] == found["recall"] == found["coverage"] == 1


def test_noise_is_worse_than_real_images(digits, put):
    noise, real = put("noise", torch.randint_like(digits.valid.images, 256)), put("good", digits.valid.images)
    spec = {"kind": "digits", "test_size": 100}
    bad, good = (judge(fake, spec, "frechet", "kernel", "precision_recall") for fake in (noise, real))
    assert all(bad[name] > good[name] for name in ("frechet", "frechet_unbiased", "kernel"))
    assert bad["precision"] == 0 and good["precision"] > 0.5


def test_other_sizes_are_refused_or_fitted(digits, put):
    fake = put("fake", torch.full((9, 1, 12, 20), 77, dtype=torch.uint8))
    with pytest.raises(UsageError, match=r"images in .*fake are 20×12, the real ones 8×8; give fit=True"):
        judge(fake, "digits")
    real = put("real", torch.full((9, 1, 8, 8), 77, dtype=torch.uint8))
    assert judge(fake, str(real), fit=True)["frechet"] == pytest.approx(0, abs=1e-9)


def test_real_images_need_not_be_square_to_be_fitted_to(put):
    fake = put("fake", torch.full((9, 1, 12, 20), 77, dtype=torch.uint8))
    real = put("real", torch.full((9, 1, 8, 10), 77, dtype=torch.uint8))
    assert judge(fake, str(real), fit=True)["frechet"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(9, 9), (8, 10), (10, 8)])
def test_images_that_fit_are_left_as_they_are(put, shape):
    same = put("same", torch.randint(0, 256, (9, 1, *shape), dtype=torch.uint8))
    assert judge(same, str(same), fit=True)["frechet"] == pytest.approx(0, abs=1e-9)


def test_mixed_sizes_are_said_in_one_sentence_and_can_be_fitted(digits, put):
    mixed = put("mixed", digits.valid.images)
    Image.new("L", (20, 11)).save(mixed / "odd.png")
    with pytest.raises(UsageError, match=r"odd\.png") as error:
        judge(mixed, "digits")
    assert "\n" not in str(error.value) and "fit=True" in str(error.value)
    assert judge(mixed, "digits", fit=True)["frechet"] > 0


def test_grey_and_colour_meet(digits, put):
    """Grey images are colour images of equal channels, and the other way round."""
    grey, colour = put("grey", digits.test.images), put("colour", digits.test.images.expand(-1, 3, -1, -1))
    for fake, real in ((grey, colour), (colour, grey)):
        assert judge(fake, str(real))["frechet"] == pytest.approx(0, abs=1e-9)
    spec = {"kind": "digits", "test_size": 50}
    assert judge(colour, spec) == judge(grey, spec)


def test_an_unreadable_image_is_left_out_with_a_warning(digits, put):
    fake = put("fake", digits.valid.images)
    (fake / "00003.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"left out 1 of the 100 images in .*fake"):
        report = vaelab.evaluate_images(fake, "digits", metrics=["frechet"], extractor="pixels", device="cpu")
    assert report["metrics"]["frechet"]["protocol"]["fakes"] == 99


@pytest.mark.parametrize(
    ("fake", "real", "said"),
    [
        ("empty", "digits", r"empty holds no images"),
        ("nowhere", "digits", r"there is no folder, .*nowhere"),
        ("full", "digit", MISSPELT),
        ("full", "empty", r"empty holds no images"),
        ("full", {"kind": "digits", "resise": 16}, r"real\.resise: unknown option; did you mean 'resize'"),
    ],
)
def test_what_is_no_set_of_images(tmp_path, monkeypatch, digits, put, fake, real, said):
    monkeypatch.chdir(tmp_path)
    put("full", digits.valid.images[:9])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=said) as error:
        judge(fake, real)
    assert "\n" not in str(error.value)
    assert "data.path" not in str(error.value), "nobody has named that"
    assert not list(tmp_path.glob("*.json"))


def test_n_limits_the_images(digits, put):
    given = {"metrics": ["frechet"], "extractor": "pixels", "device": "cpu"}
    report = vaelab.evaluate_images(put("fake", digits.valid.images), "digits", n=30, **given)
    assert report["metrics"]["frechet"]["protocol"].items() >= {"fakes": 30, "images": 250}.items()


def test_what_is_about_a_model_is_said_only_where_it_was_asked_for(digits, put):
    fake = put("fake", digits.valid.images)
    asked = vaelab.evaluate_images(fake, "digits", metrics=["likelihood", "sharpness"], device="cpu")
    assert list(asked["metrics"]) == ["sharpness"] and list(asked["unavailable"]) == ["likelihood"]
    default = vaelab.evaluate_images(fake, "digits", extractor="pixels", device="cpu")
    assert set(default["metrics"]) == set(DRAWN) and default["unavailable"] == {}


def test_the_numbers_go_beside_the_folder_or_where_they_are_wanted(digits, put, tmp_path):
    fake = put("fake", digits.valid.images)
    given = {"metrics": ["sharpness"], "device": "cpu"}
    report = vaelab.evaluate_images(fake, "digits", **given)
    assert report == json.loads((tmp_path / "fake.metrics.json").read_text())
    vaelab.evaluate_images(fake, "digits", out=tmp_path / "deep" / "numbers.json", **given)
    assert timeless(tmp_path / "deep" / "numbers.json") == timeless(tmp_path / "fake.metrics.json")
    assert len(list(fake.iterdir())) == 100, "nothing was written among the images"


def test_samples_are_the_seeds_and_the_samplers(run):
    first, again = (vaelab.sample(run, 6, sampler="gmm", seed=1, device="cpu") for _ in range(2))
    assert torch.equal(first, again) and first.shape == (6, 1, 8, 8) and 0 <= first.min() <= first.max() <= 1
    for other in (
        {"seed": 2},
        {"sampler": "prior"},
        {"sampler": {"kind": "gmm", "components": 2}},
        {"pixels": "sample"},
    ):
        assert not torch.equal(vaelab.sample(run, 6, **({"sampler": "gmm", "seed": 1} | other), device="cpu"), first)


def test_samples_judged_are_samples_drawn(run, tmp_path):
    """The metrics of a run are those of the folder that `sample` writes, but for the order of its images."""
    write_images(vaelab.sample(run, 40, sampler="gmm", seed=2, device="cpu"), tmp_path / "fake")
    spec = {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 40}
    by_files = judge(tmp_path / "fake", spec, "frechet", "precision_recall", seed=2)
    entries = evaluate(run, "frechet", "precision_recall", extractor="pixels", sampler="gmm", seed=2)["metrics"]
    by_run = {k: v for entry in entries.values() for k, v in entry["values"].items() if k != "frechet_unbiased"}
    assert {k: by_files[k] for k in by_run} == pytest.approx(by_run, rel=1e-6)


def test_a_model_file_alone_draws_from_the_prior_and_from_fitted_latents(run, tmp_path):
    shutil.copy(run / "model.safetensors", tmp_path / "model.safetensors")
    for sampler in ("prior", "gmm"):
        drawn = [vaelab.sample(where, 3, sampler=sampler, device="cpu") for where in (run, tmp_path)]
        assert torch.equal(*drawn)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sampler": "gmmm"}, "unknown sampler 'gmmm'; did you mean 'gmm'"),
        (
            {"sampler": {"kind": "gmm", "component": 3}},
            r"sampler\.component: unknown option; did you mean 'components'",
        ),
        ({"sampler": {"kind": "gmm", "components": 97}}, "97 components need as many images"),
        ({"pixels": "means"}, "pixels are mean or sample, not 'means'"),
    ],
)
def test_samples_that_cannot_be_drawn(run, options, said):
    with pytest.raises(UsageError, match=said):
        vaelab.sample(run, 2, device="cpu", **options)


def test_pixels_drawn_are_zeros_and_ones_where_the_likelihood_is(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    words = ("data.binarise=dynamic", "model.likelihood=bernoulli", "train.epochs=1")
    run = vaelab.train(str(tmp_path / "tiny.yaml"), *words, run=tmp_path / "new", device="cpu", quiet=True)
    drawn, mean = (vaelab.sample(run, 20, pixels=pixels, device="cpu") for pixels in ("sample", "mean"))
    assert drawn.unique().tolist() == [0, 1] and len(mean.unique()) > 100
    assert np.allclose(drawn.mean(), mean.mean(), atol=4.5 * 0.5 / (20 * 64) ** 0.5), "they are of the same latents"
    evaluate(run, "frechet", extractor="pixels")
    assert json.loads((run / "metrics.json").read_text())["metrics"]["frechet"]["protocol"]["pixels"] == "sample"
