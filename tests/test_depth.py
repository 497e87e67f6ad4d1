"""Images of any number of channels and any depth, from their files through training and judging to files again."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import vaelab
from vaelab.data.decode import read_pixels
from vaelab.data.scale import Scale
from vaelab.errors import UsageError
from vaelab.evaluation.evaluate import evaluate, evaluate_images
from vaelab.evaluation.images import read_images, write_images
from vaelab.evaluation.quality import quality
from vaelab.recipe.restore import open_run, restore
from vaelab.report import report
from vaelab.workbench import sample_files

CASES = {
    "1 uint16": (1, "uint16", {"low": 0, "high": 4095}, {"kind": "logistic"}, "vamp"),
    "2 float32": (
        2,
        "float32",
        {"low": -2, "high": 5, "clip": False},
        {"kind": "normal", "bounded": False},
        "exemplar",
    ),
    "4 uint16": (4, "uint16", {"percentile": [1, 99]}, {"kind": "normal"}, "normal"),
    "13 float32": (13, "float32", "full", {"kind": "laplace"}, "exemplar"),
}
PRIORS = {"vamp": {"components": 8}, "exemplar": {"components": 8, "per_step": 8}, "normal": {}}


def stored(channels: int, kind: str) -> torch.Tensor:
    """Images of an edge that lies elsewhere in each channel, of nearly all values that the type holds."""
    torch.manual_seed(channels)
    place = torch.randint(1, 7, (120, channels, 1, 1))
    x = 0.2 + 0.6 * (torch.arange(8) >= place).float().expand(-1, -1, 8, -1) + 0.1 * torch.rand(120, channels, 8, 8)
    return x * 7 - 2 if kind == "float32" else (x * 4095).to(torch.uint16)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """The name of a case, its folder of images, and a run trained on it."""
    channels, kind, rule, likelihood, prior = CASES[request.param]
    folder, full = tmp_path_factory.mktemp("depth"), {"uint16": (0, 65535), "float32": (0, 1)}[kind]
    scale = Scale(*full, kind, clip=False)  # pyright: ignore[reportArgumentType]
    for split, part in zip(("train", "valid", "test"), stored(channels, kind).split((80, 20, 20)), strict=True):
        write_images(scale.to_unit(part), folder / "set" / split, scale)
    recipe = {
        "data": {"kind": "folder", "path": str(folder / "set"), "scale": rule},
        "model": {
            "latent_dim": 2,
            "backbone": {"kind": "mlp", "width": 16},
            "likelihood": likelihood,
            "prior": {"kind": prior, **PRIORS[prior]},
        },
        "train": {"epochs": 2, "batch_size": 20, "draw_every": 1},
    }
    if channels == 4:
        recipe["data"]["colours"] = [2, 1, 0]
    (folder / "recipe.yaml").write_text(str(recipe))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = vaelab.train(folder / "recipe.yaml", run=folder / "run", device="cpu", quiet=True)
    return request.param, folder / "set", run


def test_it_is_judged_drawn_and_reported(case):
    name, _, run = case
    found = evaluate(run, extractor="pixels", metrics="likelihood,reconstruction,frechet,memorisation,sharpness,lpips")
    assert set(found["unavailable"]) == {"lpips"}
    assert (f"these have {name.split()[0]} channels" in found["unavailable"]["lpips"]) == (name != "1 uint16")
    values = {k: v for entry in found["metrics"].values() for k, v in entry["values"].items()}
    assert all(value is not None and np.isfinite(value) for value in values.values())
    drawn = {path.stem: path for path in vaelab.plot(run)}
    assert {"generated_samples", "reconstructions", "traversals", "interpolations"} <= set(drawn)
    assert ("pseudo_inputs" in drawn) == ("normal" not in str(restore(run)[0].prior).lower())
    colourful = np.ptp(np.asarray(Image.open(drawn["reconstructions"]).convert("RGB")).astype(int)[80:, 150:250], -1)
    assert (colourful.max() > 60) == (name == "4 uint16")  # the chosen three
    assert report([run]).is_file()


def test_samples_in_files_are_the_stored_values_of_the_samples(case, tmp_path):
    _, folder, run = case
    model = restore(run)[0]
    sample_files(run, tmp_path / "made", 9, device="cpu")
    wanted = vaelab.sample(run, 9, device="cpu", values="stored")
    assert str(wanted.dtype).removeprefix("torch.") == model.scale.stored
    files = sorted((tmp_path / "made").iterdir())
    found = torch.from_numpy(np.stack([read_pixels(path) for path in files]))
    assert torch.equal(found, wanted)
    scaled = vaelab.sample(run, 9, device="cpu")
    torch.testing.assert_close(model.scale.to_unit(found), scaled, rtol=0, atol=2e-4)
    with pytest.raises(UsageError, match="values are scaled or stored"):
        vaelab.sample(run, 9, values="raw")  # pyright: ignore[reportArgumentType]
    by_run, by_file = quality([run, tmp_path / "made"], tmp_path / "quality", n=9, device="cpu")
    assert {k: v for k, v in by_run.items() if k != "set"} == {k: v for k, v in by_file.items() if k != "set"}
    judged = evaluate_images(folder / "test", folder / "test", metrics="frechet", extractor="pixels")
    assert judged["metrics"]["frechet"]["values"]["frechet"] == pytest.approx(0, abs=1e-6)


def test_images_in_files_are_seen_as_those_of_the_set(case):
    _, folder, run = case
    model, _, data = open_run(run, None, "cpu")
    paths = sorted((folder / "test").iterdir())
    found = read_images(paths, data.x_shape, fit=False, scale=model.scale)
    assert {x.numpy().tobytes() for x in found} == {x.numpy().tobytes() for x in data.test.images}
