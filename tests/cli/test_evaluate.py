"""The commands that judge, as one types them: flags reach the protocol, files are exact, mistakes get one sentence."""

import csv
import json
import shutil
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import vaelab
import vaelab.recipe.recipe  # registers all parts
from vaelab.cli import app
from vaelab.data import load
from vaelab.errors import VaelabError
from vaelab.evaluation import evaluate as evaluation
from vaelab.evaluation.images import write_images
from vaelab.likelihoods.bernoulli import BernoulliLikelihood
from vaelab.registry import names
from vaelab.report import refresh

DATA = {"train_size": 96, "valid_size": 32, "test_size": 40}
TINY = f"""
data: {{kind: digits, {", ".join(f"{k}: {v}" for k, v in DATA.items())}}}
model: {{latent_dim: 2, backbone: {{kind: mlp, width: 16}}}}
objective: elbo
train: {{epochs: 1, batch_size: 16, draw_every: 0}}
"""
SAMPLERS = {
    "prior": {},
    "gmm": {"components": 3, "covariance": "diagonal"},
    "flow": {"steps": 3, "transforms": 1},
    "two_stage": {"steps": 3, "lr": 1e-4},
    "nearest_posterior": {},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with three runs: two seeds, and images binarised."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    for name, *words in (("a",), ("b", "train.seed=1"), ("binary", "data.binarise=threshold")):
        vaelab.train(str(folder / "tiny.yaml"), *words, run=folder / name, device="cpu", quiet=True)
    return folder


@pytest.fixture(autouse=True)
def here(trained, tmp_path, monkeypatch):
    """A working directory of the test's own with the runs, and real digits as a folder of images."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    write_images(digits().valid.images.float() / 255, Path("images"))


def digits():
    return load("digits", **DATA)


def typed(*words: object, code: int = 0) -> Result:
    """Run a command in this process; without a traceback, whatever the exit code."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "300"})
    said = f"{result.output}\n{result.exception!r}"
    assert result.exception is None or isinstance(result.exception, SystemExit), said
    assert result.exit_code == code and "Traceback" not in result.output, said
    return result


def refused(*words: object) -> str:
    """The one sentence that a command says on its way out."""
    result = typed(*words, code=2)
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1, result.stderr
    assert not result.stdout
    return result.stderr.removeprefix("error: ").strip()


def evaluated(*words: object) -> tuple[dict, str]:
    """The file that an evaluation of a run has written, and what it said."""
    said = typed("evaluate", *words, "--device", "cpu").stdout
    return json.loads((Path(str(words[0])) / "metrics.json").read_text()), said


def pixels(folder: str) -> torch.Tensor:
    """Grey images [N, 1, H, W] of a folder, numbered from 0."""
    paths = sorted(Path(folder).iterdir())
    assert [path.name for path in paths] == [f"{i:05d}.png" for i in range(len(paths))]
    return torch.from_numpy(np.stack([np.asarray(Image.open(path)) for path in paths]))[:, None]


def rounded(images: torch.Tensor) -> torch.Tensor:
    """The nearest of 256 levels of images in [0, 1]."""
    return (images * 255).round().byte()


def test_all_samplers_are_tried():
    assert set(SAMPLERS) == set(names("sampler"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sample_writes_what_each_sampler_draws(sampler):
    options = [word for k, v in SAMPLERS[sampler].items() for word in ("--set", f"{k}={v}")]
    said = typed("sample", "a", "--sampler", sampler, *options, "-n", 5, "--images", "out", "--device", "cpu").stdout
    assert said == "5 images in out\n"
    drawn = vaelab.sample("a", 5, sampler={"kind": sampler, **SAMPLERS[sampler]}, device="cpu")
    assert torch.equal(pixels("out"), rounded(drawn)) and len(pixels("out")) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sampler", "gmn"], "sampler.kind: unknown sampler 'gmn'; did you mean 'gmm'?"),
        (["--sampler", "gmm", "--set", "component=3"], "sampler.component: unknown option; did you mean 'components'?"),
        (["--sampler", "gmm", "--set", "components=many"], "sampler.components: expected a valid integer; got 'many'"),
        (["--sampler", "gmm", "--set", "components"], "is not of the form key.key=value"),
        (["--sampler", "gmm", "--set", "components=97"], "97 components need as many images"),
        (["--set", "components=3"], "sampler.components: "),
        (
            ["--sampler", "flow", "--set", "lr=1e30", "--set", "steps=9"],
            "the fit to the latents diverged at lr 1e+30; try a tenth of it",
        ),
    ],
)
def test_a_mistake_in_the_words_about_a_sampler(words, said):
    assert said in refused("sample", "a", *words, "-n", 2, "--images", "out", "--device", "cpu")
    assert not Path("out").exists()


def test_pixels_of_a_binarised_run_are_black_or_white():
    typed("sample", "binary", "--pixels", "sample", "-n", 20, "--images", "drawn", "--device", "cpu")
    typed("sample", "binary", "-n", 20, "--images", "means", "--device", "cpu")
    assert pixels("drawn").unique().tolist() == [0, 255] and len(pixels("means").unique()) > 20


def test_reconstruct_writes_test_images_beside_what_the_model_makes_of_them():
    said = typed("reconstruct", "a", "--images", "out", "-n", 3, "--device", "cpu").stdout
    assert said == "3 images in out/real and out/recon\n"
    test = digits().test.images
    assert torch.equal(pixels("out/real"), test[:3])
    assert torch.equal(pixels("out/recon"), rounded(vaelab.load("a").reconstruct(test[:3] / 255)))
    typed("reconstruct", "a", "--images", "all", "--device", "cpu")
    assert torch.equal(pixels("all/real"), test) and len(pixels("all/recon")) == 40


@pytest.mark.parametrize("n", [0, -1])
def test_there_is_no_such_number_of_images(n):
    for command in ("sample", "reconstruct", "quality"):
        assert "Invalid value for '-n'" in typed(command, "a", "-n", n, code=2).stderr


def test_one_diagnosis_is_told_by_train_evaluate_and_report():
    commands = (["train", "tiny.yaml", "--run", "c"], ["evaluate", "c", "--metrics", "active_units,aggregate"])
    for words in commands:
        said = typed(*words, "--device", "cpu").stdout
        found = refresh(Path("c"))
        assert "\n".join(finding.text for finding in found) in said and "Too short" in said
        assert all(escape(finding.sentence) in Path("c/report.html").read_text() for finding in found)


def test_numbers_are_printed_though_they_cannot_be_written(monkeypatch):
    def full(path, write):
        raise VaelabError("the disk is full")

    monkeypatch.setattr(evaluation, "write_whole", full)
    said = typed("evaluate", "a", "--metrics", "psnr", "--device", "cpu", code=1)
    assert "40 test images" in said.stdout and "psnr" in said.stdout and "the disk is full" in said.stderr


def test_a_heading_counts_the_images_of_its_numbers():
    said = typed("evaluate", "a", "--metrics", "likelihood", "likelihood.images=7", "--samples", 2, "--device", "cpu")
    assert said.stdout.startswith("a: 7 of 40 test images")
    assert "Of 7 of 40 test images" in Path("a/report.html").read_text()


def test_data_writes_a_split_exactly():
    options = [f"{k}={v}" for k, v in DATA.items()]
    said = typed("data", "digits", *options, "--images", "out", "--split", "valid").stdout
    assert said.endswith("32 images in out\n") and torch.equal(pixels("out"), digits().valid.images)
    assert (
        "unknown split 'vaild'; did you mean 'valid'?"
        in typed(*("data", "digits", "--images", "no", "--split", "vaild"), code=2).stderr
    )
    assert not Path("no").exists()


def test_flags_reach_the_protocol():
    words = ("--extractor", "pixels", "--pca-dim", 5, "--seed", 7, "-n", 30, "--sampler", "gmm")
    report, said = evaluated("a", "--metrics", "frechet,precision_recall", *words)
    for name, entry in report["metrics"].items():
        wanted = {"kind": name, "pca_dim": 5, "features": 5, "fakes_seed": 7, "fakes": 30, "sampler": {"kind": "gmm"}}
        assert entry["protocol"].items() >= wanted.items()
        assert entry["protocol"]["extractor"] == {"name": "pixels", "hash": "", "resize": "none"}
    assert report["metrics"]["frechet"]["protocol"]["seed"] == 7
    assert "features: pixels" in said and "frechet_unbiased" in said and "recall" in said


def test_words_reach_one_metric_or_the_sampler():
    words = ("precision_recall.k=3", "frechet.pca_dim=4", "sampler.components=2", "--sampler", "gmm", "frechet.seed=9")
    report, _ = evaluated("a", "--metrics", "frechet,precision_recall", "--extractor", "pixels", *words)
    frechet, shares = (report["metrics"][name]["protocol"] for name in ("frechet", "precision_recall"))
    assert (frechet["pca_dim"], shares["pca_dim"], shares["k"], frechet["seed"]) == (4, None, 3, 9)
    assert frechet["sampler"] == {"kind": "gmm", "components": 2}
    report, _ = evaluated("a", "--metrics", "frechet", "frechet.extractor={kind: pca, dims: 6}")
    assert report["metrics"]["frechet"]["protocol"]["features"] == 6


def test_samples_are_the_likelihoods_alone():
    report, _ = evaluated("a", "--metrics", "likelihood,reconstruction", "--samples", 3, "likelihood.images=11")
    assert report["metrics"]["likelihood"]["protocol"].items() >= {"samples": 3, "images": 11}.items()
    assert "samples" not in report["metrics"]["reconstruction"]["protocol"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a", "--images", "images"],
        ["a", "--images", "images", "--real", "digits"],
        ["--images", "images"],
        ["--real", "digits"],
        ["a", "--real", "digits"],
        ["a", "b"],
        ["frechet.k=3"],
    ],
)
def test_a_run_or_images_with_real_ones(words):
    assert refused("evaluate", *words) == "evaluate takes one RUN, or --images FOLDER with --real FOLDER|SET"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--extractor", "pixles"], "unknown extractor 'pixles'; did you mean 'pixels'?"),
        (["--extractor", "pixels", "--pca-dim", "0"], "frechet.pca_dim: expected greater than 0; got 0"),
        (["--sampler", "gnm"], "unknown sampler 'gnm'; did you mean 'gmm'?"),
        (["sampler.components=3"], "sampler"),
        (["-n", "0"], "n: expected greater than 0; got 0"),
        (["frechet.seed=-1"], "frechet.seed: expected greater than or equal to 0; got -1"),
        (["frechet.pca_dmi=3"], "frechet.pca_dmi: unknown option; did you mean 'pca_dim'?"),
        (["frechte.pca_dim=3"], "frechte: no option of frechet"),
        (["frechet=pixels"], "frechet: expected options like frechet."),
        (["frechet.extractor.kind=pixles"], "unknown extractor 'pixles'; did you mean 'pixels'?"),
        (["split=valid"], "--split"),
        (["metrics=ais"], "--metrics"),
        (["device=cpu"], "--device"),
        (["run=b"], "run"),
        (["--samples", "5"], "likelihood: options of a metric that is not among frechet"),
        (["real.resize=16"], "real: no option of frechet"),
    ],
)
def test_a_mistake_in_the_words_about_an_evaluation(words, said):
    assert said in refused("evaluate", "a", "--metrics", "frechet", *words)
    assert not Path("a/metrics.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--real", "digit"], "did you mean 'digits'?"),
        (["--real", "b"], "b holds no images"),
        (
            ["--real", "digits", "real.resize=16"],
            "images are 8×8, the real ones 16×16; add --fit to crop and resize them",
        ),
        (["--real", "digits", "real=16"], "real.resize="),
        (["--real", "digits", "--split", "tset"], "did you mean 'test'?"),
        (["--real", "digits", "--sampler", "gmm"], "a sampler and its pixels are about a RUN"),
        (["--real", "digits", "out=x.json"], "--out"),
    ],
)
def test_a_mistake_in_the_words_about_images(words, said):
    given = ("--images", "images", "--metrics", "frechet", "--extractor", "pixels")
    assert said in refused("evaluate", *given, *words)
    assert not list(Path().glob("*.json"))


def test_images_by_any_generator():
    options = [f"real.{k}={v}" for k, v in (DATA | {"resize": 16}).items()]
    words = ("--real", "digits", *options, "--fit", "--extractor", "pixels", "-n", 20, "--out", "numbers.json")
    said = typed("evaluate", "--images", "images", *words, "--device", "cpu").stdout
    report = json.loads(Path("numbers.json").read_text())
    assert said.startswith("images: 40 test images") and "frechet" in said and "likelihood" not in said
    wanted = {"fakes": 20, "images": 40, "features": 256}
    assert report["metrics"]["frechet"]["protocol"].items() >= wanted.items()
    folder = ("evaluate", "--images", "images", "--real", "./images", "--metrics", "precision_recall,likelihood")
    said = typed(*folder, "--extractor", "pixels", "--device", "cpu").stdout
    assert "precision" in said and "not measured: likelihood: it is about a model" in said
    assert json.loads(Path("images.metrics.json").read_text())["metrics"]["precision_recall"]["values"]["recall"] == 1


PIXELS = ["--extractor", "pixels"]


@pytest.mark.parametrize(
    ("missing", "words", "said"),
    [
        (
            "precision_recall",
            [*PIXELS, "-n", 4],
            "neighbour number 5 needs 6 images in each set, got 40 and 4; lower k",
        ),
        ("frechet", [*PIXELS, "-n", 7], "needs 8 images in each set, got 40 and 7"),
        ("frechet", [*PIXELS, "--pca-dim", 41], "choose at most 40"),
        ("frechet", ["--extractor", "squeezenet"], "squeezenet"),
        ("frechet", ["--sampler", "gmm", "sampler.components=97"], "97 components need as many images"),
        ("lpips", [], "squeezenet"),
        ("disentanglement", [], "needs the factors of the images"),
        ("probe", ["probe.neighbours=97"], "lower probe.neighbours"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_the_rest_is(missing, words, said):
    report, shown = evaluated("a", "--metrics", f"{missing},reconstruction", *words)
    assert list(report["metrics"]) == ["reconstruction"] and list(report["unavailable"]) == [missing]
    (line,) = [line for line in shown.splitlines() if line.startswith("not measured: ")]
    assert line.startswith(f"not measured: {missing}: ") and said in line and "psnr" in shown


def test_few_images_for_many_features_come_with_what_the_number_is_worth():
    _, said = evaluated("a", "--metrics", "frechet", "--extractor", "pixels")
    assert "note: 40 images for 64 feature dimensions: the covariance is singular" in said and "set pca_dim" in said
    _, said = evaluated("a", "--metrics", "frechet", "--extractor", "pixels", "--pca-dim", 12)
    assert "note: frechet_unbiased rests on quarters of 40 images, fewer than the 12 feature dimensions" in said
    _, said = evaluated("a", "--metrics", "frechet", "--extractor", "pixels", "--pca-dim", 10)
    assert "singular" not in said and "quarters" not in said


def test_a_perceptual_likelihood_has_no_nll(monkeypatch):
    monkeypatch.setattr(BernoulliLikelihood, "scores", "loss")
    report, said = evaluated("a", "--metrics", "likelihood,reconstruction")
    assert "not measured: likelihood: BernoulliLikelihood is no density of images" in said and "psnr" in said
    assert list(report["metrics"]) == ["reconstruction"] and "bits_per_dim" not in str(report["metrics"])


def test_all_metrics_that_are_quick():
    """Without a word about metrics; what needs weights or factors says so."""
    report, said = evaluated("a", "--samples", 5)
    assert list(report["unavailable"]) == ["lpips", "disentanglement"]
    assert report["metrics"]["frechet"]["protocol"]["extractor"]["name"] == "classifier"
    head, columns, *rest = said.splitlines()
    numbers = rest[: rest.index("")]
    assert columns.split()[:2] == ["name", "value"] and len(numbers) == 10, "the ten that matter"
    assert {line.split()[0] for line in numbers} <= {k for e in report["metrics"].values() for k in e["values"]}
    assert max(map(len, [head, *numbers])) <= 80 and len(rest) < 24
    assert "not measured: lpips, disentanglement" in said and "probe_linear" not in said
    assert rest[-1] == f"report: {Path('a') / 'report.html'}"


def test_all_numbers_are_shown_on_demand():
    _, said = evaluated("a", "--samples", 5, "--all")
    assert said.count("not measured: ") == 2 and "probe_linear" in said and "memorised" in said


def test_compare_evaluates_what_is_missing_and_pools_the_seeds():
    evaluated("a", "--metrics", "reconstruction")
    done = typed("compare", "a", "b", "binary", "--no-figures", "--device", "cpu")
    assert done.stderr.count(" has no metrics.json; measuring it now") == 2
    header = [cell.strip() for cell in done.stdout.splitlines()[0].split("|")[1:-1]]
    assert header == ["", "unit", "a (2 seeds)", "binary"]
    assert {path.name for path in Path("comparison").iterdir()} == {"comparison.md", "comparison.csv"}
    values = [json.loads(Path(run, "metrics.json").read_text())["metrics"]["reconstruction"]["values"] for run in "ab"]
    with Path("comparison/comparison.csv").open(newline="") as file:
        (psnr,) = [row for row in csv.DictReader(file) if row["name"] == "psnr" and row["run"] == "a (2 seeds)"]
    assert float(psnr["value"]) == pytest.approx(sum(v["psnr"] for v in values) / 2) and psnr["runs"] == "2"


def test_compare_in_an_order_with_figures():
    for run in "ab":
        evaluated(run, "--metrics", "reconstruction,active_units")
    said = typed("compare", "a", "b", "--no-group", "--order", "b, a", "--out", "deep/er", "--device", "cpu").stdout
    assert [cell.strip() for cell in said.splitlines()[0].split("|")[1:-1]] == ["", "unit", "b", "a"]
    assert "psnr" in said and "active_units" in said and "**" in said
    stems = ("samples", "reconstructions", "boxes", "violins")
    files = {"comparison.md", "comparison.csv", *(f"{stem}.png" for stem in stems)}
    assert {path.name for path in Path("deep/er").iterdir()} == files
    assert Path("deep/er/comparison.md").read_text().startswith(said.splitlines()[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "a comparison needs two different runs or more"),
        (["a", "./a"], "two different runs or more"),
        (["a", "nowhere"], "the folder does not exist"),
        (["a", "images"], "no model.safetensors in"),
        (["a", "b", "--order", "c"], "order: no run 'c' in this comparison"),
    ],
)
def test_what_cannot_be_compared(words, said):
    for run in "ab":
        evaluated(run, "--metrics", "reconstruction")
    assert said in refused("compare", *words, "--device", "cpu")
    assert not Path("comparison").exists()


def test_quality_of_runs_and_a_folder():
    said = typed("quality", "a", "b", "images", "-n", 6, "--seed", 3, "--device", "cpu").stdout
    with Path("quality/summary.csv").open(newline="") as file:
        rows = {row["set"]: row for row in csv.DictReader(file)}
    assert {name: row["images"] for name, row in rows.items()} == {"a": "6", "b": "6", "images": "32"}
    assert len(Path("quality/a.csv").read_text().splitlines()) == 7
    assert said.startswith("quality") and "tables in quality" in said
    assert all(said.count(name) == 3 for name in ("laplacian_variance", "tenengrad", "high_frequency_ratio"))


def test_quality_of_what_is_no_set():
    Path("empty").mkdir()
    assert "empty holds no images (.png, " in refused("quality", "images", "empty", "--out", "out")
    assert "nowhere is neither a folder of images nor a run" in refused("quality", "nowhere", "--out", "out")
