"""Laws of every call: the caller's process is as it was, and its random numbers change no result.

Random numbers of torch, numpy and Python, denormals, threads, dtype, gradients, warnings, rcParams, environment.
"""

import json
import os
import random
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import sklearn.mixture  # noqa: F401  # as torch._dynamo: what a library does when first imported is its own matter
import torch
import torch._dynamo

import vaelab
from vaelab import data
from vaelab.data.source import Dataset, Split
from vaelab.errors import NotApplicable, UsageError, VaelabError
from vaelab.evaluation import images as export
from vaelab.evaluation import quality
from vaelab.recipe.recipe import Recipe, as_json
from vaelab.recipe.restore import restore
from vaelab.registry import names
from vaelab.registry.schema import build
from vaelab.training.checkpoint import save_model

MODELS = {
    "normal": {"posterior": "gaussian", "prior": "normal"},
    "levels": {"latent_dim": [2, 2], "posterior": "two_level", "prior": "two_level"},
    "flow, pixel": {
        "posterior": {"kind": "flow", "flow": {"kind": "iaf", "width": 8}},
        "prior": {"kind": "vamp", "components": 5},
        "likelihood": {"kind": "pixel", "layers": 1, "channels": 2},
    },
}
SHORT = {"flow": {"steps": 3}, "two_stage": {"steps": 3}}
JUDGED = ("active_units", "likelihood", "frechet")
CPU = torch.device("cpu")


def options(name: str) -> dict:
    """A recipe of a small model."""
    sets = {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 32}
    model = {"latent_dim": 3, "backbone": {"kind": "mlp", "width": 8}} | MODELS[name]
    return {"data": sets, "model": model, "objective": "elbo", "train": {"epochs": 1, "batch_size": 32}}


def state() -> dict:
    """What belongs to the caller."""
    denormal = torch.tensor([1e-310, 1e-310], dtype=torch.double)
    legacy = np.random.get_state(legacy=True)  # noqa: NPY002  # of callers who draw so
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (legacy[0], legacy[1].tolist(), *legacy[2:]),
        "random": random.getstate(),
        "denormals": (denormal * 1.0).tolist(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": torch.get_default_dtype(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "warnings": list(warnings.filters),
        "show": warnings.showwarning,
        "rcParams": dict(mpl.rcParams),
        "backend": mpl.get_backend(auto_select=False),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
    }


@contextmanager
def untouched():
    before = state()
    yield
    after = state()
    assert [name for name in before if before[name] != after[name]] == []


def same(call):
    """The result of a call, which leaves the process alone, and gives the same after other random numbers."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        with untouched():
            found.append(call())
    return found


@pytest.fixture(scope="module", params=MODELS)
def subject(request) -> dict:
    """What a metric may ask for."""
    torch.manual_seed(0)
    digits = data.load("digits", train_size=96, valid_size=32, test_size=40)
    splits = [replace(s, factors=torch.stack([s.labels % 3, s.labels % 2], 1).float()) for s in _splits(digits)]
    known = Dataset("law", *splits, classes=digits.classes, factor_names=("three", "two"))
    model = Recipe.of(options(request.param)).build_model((1, 8, 8)).eval()
    fake = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    return {"model": model, "split": known.test, "data": known, "fake": fake, "device": CPU}


def _splits(found: Dataset) -> tuple[Split, Split, Split]:
    return found.train, found.valid, found.test


@pytest.mark.parametrize("kind", names("metric"))
def test_metrics(subject, kind):
    quick = {"likelihood": {"samples": 4}, "ais": {"temperatures": 4, "images": 8, "chains": 2}}
    quick["disentanglement"] = {"trees": 2, "votes": 40}
    try:
        first, second = same(lambda: build("metric", {"kind": kind, **quick.get(kind, {})}, **subject))
    except NotApplicable as reason:
        pytest.skip(str(reason))
    assert first == second


@pytest.mark.parametrize("kind", names("sampler"))
def test_samplers(subject, kind):
    spec = {"kind": kind, **SHORT.get(kind, {})}

    def drawn():
        try:
            density = build("sampler", spec, model=subject["model"], split=subject["data"].train)
        except UsageError as reason:
            pytest.skip(str(reason))
        from vaelab.samplers.drawing import images

        return images(subject["model"], density, 10, 3, "sample")

    assert torch.equal(*same(drawn))


@pytest.mark.parametrize("kind", names("extractor"))
def test_extractors(kind, subject):
    def computed():
        try:
            return build("extractor", kind, data=subject["data"], device=CPU)(subject["fake"])
        except VaelabError as reason:
            pytest.skip(str(reason))

    assert torch.equal(*same(computed))


@pytest.mark.parametrize("name", names("figure"))
def test_figures(subject, name):
    known = {"model": subject["model"], "data": subject["data"], "split": subject["data"].test}
    known |= {"rows": [], "results": None, "grown": {}, "bound": "−ELBO"}
    try:
        with untouched():
            build("figure", name, **known)
    except NotApplicable:
        return
    if name in ("aggregate_posterior", "pseudo_inputs", "traversals", "level_traversals"):  # which draw at random
        first, second = same(lambda: build("figure", name, **known))
        first.canvas.draw()
        second.canvas.draw()
        assert np.array_equal(first.canvas.buffer_rgba(), second.canvas.buffer_rgba())


@pytest.fixture
def run(tmp_path):
    """`run(model)`: the folder of an untrained model."""

    def make(name: str):
        folder = tmp_path / name
        folder.mkdir()
        recipe = Recipe.of(options(name))
        with untouched():
            model = recipe.build_model((1, 8, 8))
        metadata = {"recipe": as_json(recipe.name, recipe.options), "x_shape": "[1, 8, 8]"}
        save_model(folder / "model.safetensors", model, metadata)
        return folder

    return make


def test_runs_are_opened_sampled_judged_drawn_and_compared(run, tmp_path):
    one, two = run("normal"), run("levels")
    weights = [vae.state_dict() for vae in same(lambda: vaelab.load(one))]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    for sampler in ("prior", "gmm"):
        assert torch.equal(*same(lambda s=sampler: vaelab.sample(one, 4, sampler=s, pixels="sample", device="cpu")))
    for place in (one, two):
        first, second = same(lambda p=place: vaelab.evaluate(p, metrics=JUDGED, samples=3, extractor="pixels"))
        assert numbers(first) == numbers(second)
    same(lambda: vaelab.plot(one, "latent_space", "aggregate_posterior"))
    first, second = same(lambda: vaelab.compare([one, two], out=tmp_path / "side"))
    assert first.text == second.text
    assert torch.equal(*same(lambda: export.reconstructions(restore(one)[0], data.load("digits").test[:5])))
    same(lambda: quality.quality([one], tmp_path / "q", n=9))
    export.write_images(vaelab.sample(one, 9, device="cpu"), tmp_path / "made")
    real = {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 32}

    def judged():
        return vaelab.evaluate_images(tmp_path / "made", real, metrics=["kernel"], extractor="pixels")

    first, second = same(judged)
    assert numbers(first) == numbers(second)


def numbers(report: dict) -> str:
    return json.dumps({name: [e["values"], e["intervals"]] for name, e in report["metrics"].items()})


def test_a_recipe_makes_data_model_and_objective():
    recipe = Recipe.of(options("flow, pixel"))

    def made():
        found = recipe.load_data()
        model = recipe.new_model(found)
        recipe.build_training(found, 1, model)
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(*same(made))


def test_training_and_resuming(tmp_path):
    made = options("normal")
    made["evaluate"] = {"metrics": [{"kind": "frechet", "extractor": "pixels"}], "n": 40}
    made["train"]["draw_every"] = 2
    path = tmp_path / "law.yaml"
    path.write_text(json.dumps(made))

    def trained(name: str) -> list:
        for resume in (False, True):
            epochs = {"train.epochs": 1 + resume}
            vaelab.train(str(path), epochs, run=tmp_path / name, device="cpu", quiet=True, resume=resume)
        return [tensor.tolist() for tensor in vaelab.load(tmp_path / name).state_dict().values()]

    trained("first")  # imports sklearn, which sets filters of warnings and variables of the environment
    one, two = same(lambda: trained(str(torch.initial_seed())))
    assert one == two
    with torch.no_grad():
        assert trained("without gradients") == one and not torch.is_grad_enabled()
    with untouched(), pytest.raises(UsageError, match="holds a run already"):
        vaelab.train(str(path), run=tmp_path / "first", device="cpu", quiet=True)
