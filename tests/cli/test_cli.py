"""The commands, as one types them: what they write, print and leave."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import vaelab
from torture.fork import Fork, command
from vaelab import cli, registry
from vaelab.cli import app, tables
from vaelab.registry import plugins

TINY = """
paper: {title: Tiny, url: https://example.org, differs: [everything]}
expect:
  elbo: {at_least: -1e9}
  train_loss: {at_most: -1e9}
  ssim: {value: 0, tolerance: 1, samples: 3}
  nobody: {value: 1}
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 40}
model: {latent_dim: 2, backbone: {kind: mlp, width: 16}}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 1, log_steps: 2}
"""
PLUGIN = """
import torch
from torch import nn
from vaelab.distributions.normal import diagonal_normal
from vaelab.registry import register
from vaelab.roles import Prior

@register("prior", "wide_normal")
class WideNormal(Prior):
    '''A normal of a learned scale.'''

    def __init__(self, latent_dim: int, *, log_scale: float = 0.5) -> None:
        super().__init__()
        self.zeros = nn.Buffer(torch.zeros(latent_dim), persistent=False)
        self.log_scale = nn.Parameter(torch.full((latent_dim,), log_scale))

    def forward(self, posterior):
        return diagonal_normal(self.zeros, self.log_scale)
"""
COMMANDS = [
    "train",
    "evaluate",
    "sample",
    "reconstruct",
    "figures",
    "list",
    "data",
    "quality",
    "compare",
    "report",
    "runs",
]


def typed(*words: object, code: int = 0):
    """Run a command in this process; without a traceback, whatever the exit code."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "300"})
    said = f"{result.output}\n{result.exception!r}"
    assert result.exception is None or isinstance(result.exception, SystemExit), said
    assert result.exit_code == code, said
    return result


def shell(*words: object, cwd: Path, module: str = "vaelab") -> subprocess.CompletedProcess:
    """Run a command as a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", module, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the recipe and the run are."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(TINY)
    vaelab.train(str(folder / "tiny.yaml"), run=folder / "run", device="cpu", quiet=True)
    return folder


@pytest.fixture
def run(folder) -> Path:
    return folder / "run"


def pngs(folder: Path) -> list[np.ndarray]:
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(len(files))]
    return [np.asarray(Image.open(file)) for file in files]


def test_a_run_is_complete(run):
    assert {p.name for p in run.iterdir()} >= {"recipe.yaml", "log.jsonl", "model.safetensors", "last.pt", "figures"}
    assert {p.name for p in (run / "figures").iterdir()} >= {
        f"epoch_000{n}_{what}.png" for n in (1, 2) for what in ("samples", "reconstructions")
    }


def test_train_and_carry_on_in_a_shell(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    done = shell("train", "tiny.yaml", "train.epochs=1", "train.draw_every=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained = next((tmp_path / "runs").iterdir())
    assert trained.name.startswith("tiny-2") and not list(tmp_path.glob("*.pt"))
    first, best, report, *then = done.stdout.splitlines()
    assert first == f"trained: runs/{trained.name}" and best.startswith("best:    epoch 1 of 1, −ELBO ")
    assert report == f"report:  runs/{trained.name}/report.html" and (tmp_path / report.split()[1]).is_file()
    assert then[:2] == [f"next:    vaelab evaluate runs/{trained.name}", f"         vaelab figures runs/{trained.name}"]
    assert then[2].startswith("Note: Too short to judge it")
    assert (
        "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 4
    )  # of the data, and of the table of epochs
    words = ("train", "tiny.yaml", "train.epochs=2", "--resume")
    assert Fork(command(words, tmp_path), (0, tmp_path / "said")).wait(60) == 0
    assert (tmp_path / "said").read_text().startswith(f"trained: runs/{trained.name}\n")
    made = (trained / "recipe.yaml").read_text()
    assert "resumed: vaelab train tiny.yaml train.epochs=2 --resume" in made and "torch: " in made


def test_a_run_is_resumed_by_its_own_folder(folder, tmp_path):
    run = vaelab.train(str(folder / "tiny.yaml"), "train.epochs=1", run=tmp_path / "run", device="cpu", quiet=True)
    typed("train", run, "train.epochs=2", "--resume", "--device", "cpu")
    assert torch.load(run / "last.pt", weights_only=True)["progress"]["step"] == 12
    typed("train", run, "train.epochs=1", "--run", tmp_path / "again", "--device", "cpu")  # a new run of its recipe
    assert (tmp_path / "again" / "model.safetensors").is_file()


def test_a_tracker_that_cannot_be_read_is_one_sentence(folder, tmp_path):
    words = ("train", folder / "tiny.yaml", "--run", tmp_path / "run", "--track", "tensorboard 'x")
    said = typed(*words, code=2).stderr
    assert said.startswith('error: tracker "tensorboard \'x": no closing quotation; write it like')
    assert not (tmp_path / "run").exists()


def test_a_report_that_is_a_folder_is_refused(run, tmp_path):
    said = typed("report", run, "--out", tmp_path, code=2).stderr
    assert said == f"error: could not write {tmp_path}: it is a folder; name a file in it, or choose another place\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command):
    said = typed(command, "--help").stdout
    assert "Usage" in said and len(said) > 200


def test_help_names_all_commands_and_comes_at_once(tmp_path):
    began = time.perf_counter()
    done = shell("--help", cwd=tmp_path)
    assert time.perf_counter() - began < 5  # 0.5 s where nothing else runs; importing torch alone takes longer
    assert done.returncode == 0 and all(command in done.stdout for command in COMMANDS)
    modules = (
        "import sys, vaelab.cli; print([m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'matplotlib')])"
    )
    loaded = subprocess.run([sys.executable, "-c", modules], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_without_words_there_is_help():
    assert "Usage" in typed(code=2).output


def test_evaluate_writes_and_shows_the_same_numbers_twice(run):
    reports = []
    for _ in range(2):
        chosen = "likelihood,active_units,reconstruction"
        said = typed("evaluate", run, "--metrics", chosen, "--samples", 5, "--device", "cpu").stdout
        report = json.loads((run / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
        assert all(metric.pop("seconds") >= 0 for metric in report["metrics"].values())
        reports.append(report)
    assert reports[0] == reports[1]
    report = reports[0]
    assert report["run"] == "run" and report["split"] == "test" and report["images"] == 40
    values = {k: v for metric in report["metrics"].values() for k, v in metric["values"].items()}
    protocol = report["metrics"]["likelihood"]["protocol"]
    wanted = {"kind": "likelihood", "samples": 5, "seed": 0, "split": "test", "images": 40}
    assert protocol.items() >= wanted.items()
    for name in (
        "elbo",
        "log_px",
        "kl",
        "iwae",
        "bits_per_dim",
        "active_units",
        "active_units_kl",
        "active_units_ratio",
    ):
        assert name in values and name in said
    assert {"mse", "psnr", "ssim"} <= set(values) and values["elbo"] == pytest.approx(values["log_px"] - values["kl"])
    assert [(v["name"], v["met"]) for v in report["expected"]] == [
        ("elbo", True),
        ("train_loss", False),
        ("ssim", True),
    ]
    assert "reached: elbo" in said and "MISSED: train_loss" in said
    assert "note: Bernoulli on grey images" in said


def test_evaluate_takes_metrics_and_splits(run, tmp_path):
    copied = tmp_path / "NaN [bold]run"
    copied.mkdir()
    for name in ("model.safetensors", "recipe.yaml"):
        (copied / name).write_bytes((run / name).read_bytes())
    said = typed(
        "evaluate", copied, "--metrics", "reconstruction, active_units", "--split", "valid", "--device", "cpu"
    ).stdout
    report = json.loads((copied / "metrics-valid.json").read_text())
    assert not (copied / "metrics.json").exists(), "that one is of test images"
    assert list(report["metrics"]) == ["reconstruction", "active_units"]
    assert (report["run"], report["split"], report["images"]) == (copied.name, "valid", 32)
    assert copied.name in said


def test_evaluate_without_an_argument_for_the_folder_it_is_in(run, monkeypatch):
    monkeypatch.chdir(run)
    assert typed("evaluate", ".", "--metrics", "reconstruction").stdout.startswith("run: 40 test images")


def test_sample_writes_numbered_images(run, tmp_path):
    said = typed("sample", run, "-n", 7, "--images", tmp_path / "out", "--seed", 3, "--device", "cpu").stdout
    assert said == f"7 images in {tmp_path / 'out'}\n"
    images = pngs(tmp_path / "out")
    assert len(images) == 7 and all(image.shape == (8, 8) and image.dtype == np.uint8 for image in images)
    model = vaelab.load(run)
    torch.manual_seed(3)
    expected = (model.generate(7) * 255).round().byte().squeeze(1).numpy()
    assert np.array_equal(np.stack(images), expected)
    typed("sample", run, "-n", 7, "--images", tmp_path / "other", "--seed", 4, "--device", "cpu")
    assert not np.array_equal(np.stack(pngs(tmp_path / "other")), expected)


def test_sample_writes_a_grid(run, tmp_path):
    assert typed("sample", run, "-n", 5).stdout == f"{run / 'samples.png'}\n"
    typed("sample", run / "model.safetensors", "-n", 1, "--out", tmp_path / "deep" / "one.png")
    for picture in (run / "samples.png", tmp_path / "deep" / "one.png"):
        assert min(Image.open(picture).size) > 50


def test_reconstruct_test_images_or_those_given(run, tmp_path):
    assert typed("reconstruct", run).stdout == f"{run / 'reconstructions.png'}\n"
    files = []
    for i, size in enumerate([(8, 8), (8, 8), (20, 11)]):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)).save(files[-1])
    assert "2 images" in typed("reconstruct", run, *files[:2], "--images", tmp_path / "back").stdout
    assert all(image.shape == (8, 8) for kind in ("real", "recon") for image in pngs(tmp_path / "back" / kind))
    said = typed("reconstruct", run, *files, "--images", tmp_path / "no", code=2).stderr
    assert said == f"error: {files[2]} is 20×11, the model takes 8×8; add --fit to crop and resize them\n"
    assert not (tmp_path / "no").exists()
    assert "3 images" in typed("reconstruct", run, *files, "--fit", "--images", tmp_path / "fit").stdout
    typed("reconstruct", run, *files, "--fit", "--out", tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").is_file()


def figures_of(said: str) -> set[str]:
    """The names in the one line that the command prints."""
    [line] = said.splitlines()
    names = line.rpartition(": ")[2].split(", ")
    assert line.startswith(f"{len(names)} figures in ")
    return {Path(name).stem for name in names}


def test_figures_draws_what_the_run_allows(run, tmp_path):
    drawn = figures_of(typed("figures", run).stdout)
    assert drawn - {"convergence"} == {  # that one is of runs that were evaluated
        "training_losses", "kl_ratio", "reconstructions", "generated_samples", "latent_space", "manifold", "traversals",
        "interpolations", "aggregate_posterior",
    }  # fmt: skip
    assert all((run / "figures" / f"{name}.png").stat().st_size > 5000 for name in drawn)
    alone = tmp_path / "model.safetensors"
    alone.write_bytes((run / "model.safetensors").read_bytes())
    drawn = figures_of(typed("figures", alone).stdout)
    assert "manifold" in drawn and not {"training_losses", "kl_ratio"} & drawn
    assert typed("figures", run, "manifold").stdout == f"1 figure in {run / 'figures'}: manifold.png\n"


def test_list_shows_parts_and_recipes():
    everything = typed("list").stdout
    for name in (
        "digits",
        "mnist-mlp",
        "gated_mlp",
        "continuous_bernoulli",
        "iwae",
        "cyclic",
        "freyfaces",
        "active_units",
    ):
        assert name in everything
    assert typed("list", "prior").stdout.startswith("prior") and "mnist" not in typed("list", "prior").stdout
    assert typed("list", "recipe").stdout == typed("list", "recipes").stdout
    table = typed("list", "likelihood", "--markdown").stdout.splitlines()
    rows = [line for line in table if line.startswith("|")]
    assert rows[1].replace(" ", "") == "|---|---|---|" and any("`" in row or "logistic" in row for row in rows)
    assert {line.replace("\\|", "").count("|") for line in rows} == {4}
    assert typed("list", "schedule", "--markdown").stdout.count("\n") > 5


def test_data_shows_sets_and_what_is_in_one(tmp_path):
    assert "static_mnist" in typed("data").stdout
    said = typed("data", "digits", "resize=16", "--out", tmp_path / "d.png").stdout
    assert "1,297" in said and "1 × 16 × 16" in said and "10" in said and (tmp_path / "d.png").is_file()
    assert "3 × 9 × 9" in typed("data", "shapes", "count=50", "size=9", "channels=3").stdout


def test_every_command_finds_the_plugin_of_a_run(folder, tmp_path, monkeypatch):
    shipped = dict(registry._TABLE["prior"])

    def new_process() -> None:
        monkeypatch.setitem(registry._TABLE, "prior", shipped.copy())
        monkeypatch.setattr(plugins, "_PRESENT", {})

    new_process()
    (tmp_path / "wide.py").write_text(PLUGIN)
    run, given = tmp_path / "my run", ("--plugin", tmp_path / "wide.py")
    words = ("train", folder / "tiny.yaml", "model.prior.kind=wide_normal", "train.epochs=1", "--run", run)
    said = typed(*words, "--device", "cpu", *given).stdout
    assert f"next:    vaelab evaluate '{run}'" in said
    copy = tmp_path / "copy"
    for words in (
        ("train", run, "--resume", "train.epochs=2"),
        ("evaluate", run, "--metrics", "likelihood"),
        ("sample", run, "-n", 2, "--images", tmp_path / "out"),
        ("reconstruct", run),
        ("figures", run, "generated_samples"),
        ("report", run),
        ("quality", run, "-n", 2, "--out", tmp_path / "quality"),
        ("compare", run, copy, "--out", tmp_path / "comparison"),
    ):
        new_process()
        if words[0] == "compare":
            shutil.copytree(run, copy)
        typed(*words)
    assert len(pngs(tmp_path / "out")) == 2

    shutil.rmtree(tmp_path / "cache")  # as on another machine
    new_process()
    said = typed("sample", run, code=2).stderr
    assert said.startswith("error: this run needs its plugin wide.py (sha256 ")
    assert f"read {run}/plugins/wide.py and name it with --plugin" in said and len(said.splitlines()) == 1
    assert "this run needs its plugin wide.py" in typed("train", run, "--resume", code=2).stderr
    typed("sample", run, "--plugin", run / "plugins" / "wide.py")
    new_process()
    typed("sample", run)
    assert "wide_normal" in typed("list", "prior", *given).stdout


BROKEN = """
from vaelab.registry import register

@register("metric", "broken")
def broken(model, split):
    '''Of a test.'''
    return model.nothing

@register("prior", "odd")
def odd(dim):
    '''Of a test.'''
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("evaluate", "RUN", "--metrics", "broken"),
            "broken.py, line 7: AttributeError: 'VAE' object has no",
        ),
        (("train", "tiny.yaml", "model.prior=odd"), "prior 'odd' takes 'dim' before the star, where the program gives"),
    ],
)
def test_a_mistake_in_a_plugin_is_one_sentence(run, tmp_path, monkeypatch, words, said):
    for role in ("metric", "prior"):
        monkeypatch.setitem(registry._TABLE, role, dict(registry._TABLE[role]))
    (tmp_path / "broken.py").write_text(BROKEN)
    named = [{"RUN": run, "tiny.yaml": run.parent / "tiny.yaml"}.get(word, word) for word in words]
    where = ("--run", tmp_path / "new") if words[0] == "train" else ()
    told = typed(*named, *where, "--plugin", tmp_path / "broken.py", code=2).stderr
    assert said in told and "Traceback" not in told
    assert not (tmp_path / "new").exists()


def test_plugins_of_one_name_are_not_told_apart_by_a_run(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "wide.py").write_text("")
    given = ("--plugin", tmp_path / "one" / "wide.py", "--plugin", tmp_path / "two" / "wide.py")
    assert "two plugins are called wide.py" in typed("list", "prior", *given, code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sample", "-n", 1_000_000_000), "1,000,000,000 images are too many for one grid; add --images FOLDER"),
        (("sample", "--seed", "9" * 20), "seed 99999999999999999999 is beyond what fits into 64 bits"),
        (("quality", "-n", 10**12), "1,000,000,000,000 images of 1×8×8 would take"),
        (("evaluate", "--metrics", "frechet", "-n", 2**31 - 1), "2,147,483,647 images of 1×8×8 would take"),
    ],
)
def test_what_cannot_be_drawn_is_said_at_once(run, tmp_path, words, said):
    out = ("--out", tmp_path / "quality") if words[0] == "quality" else ()
    told = typed(words[0], run, *words[1:], *out, code=2).stderr
    assert said in told and len(told.splitlines()) == 1


def test_single_images_are_those_of_the_grid(run, tmp_path):
    typed("sample", run, "-n", 501, "--images", tmp_path / "out", "--seed", 4, "--device", "cpu")
    drawn = vaelab.sample(run, 501, seed=4, device="cpu")
    files = pngs(tmp_path / "out")
    assert len(files) == 501
    last = np.asarray(Image.open(tmp_path / "out" / "00500.png"))
    assert np.array_equal(last, (drawn[500, 0] * 255).round().byte().numpy())


def test_a_table_of_recipes_is_for_the_readme():
    rows = typed("list", "recipes", "--markdown").stdout
    assert all(f"| {name} " in rows or f"`{name}`" in rows for name in tables.shipped_names())


def test_our_warnings_are_one_line_and_others_are_pythons(monkeypatch, capsys):
    def warn() -> None:
        for place in (Path(cli.__file__).parent / "data" / "x.py", Path("elsewhere.py")):
            warnings.warn_explicit("a file is missing", UserWarning, str(place), 1)

    others = []
    monkeypatch.setattr(cli, "app", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, filename, *_: others.append(filename)
        cli.main()
    assert capsys.readouterr().err == "note: a file is missing\n"
    assert others == ["elsewhere.py"]
