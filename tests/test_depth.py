"""Images of any number of channels and any depth, from their files through training and judging to files again."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.data.encoded.decode import read_pixels
from vaelab.data.scale import Scale
from vaelab.data.source import Dataset, Split
from vaelab.errors import UsageError
from vaelab.evaluation.evaluate import evaluate, evaluate_images
from vaelab.evaluation.images import read_images, write_images
from vaelab.evaluation.quality import quality
from vaelab.evaluation.stages import keep_stage, kept_stages
from vaelab.figures.stages import stages
from vaelab.figures.tiles import shown
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.restore import open_run, restore
from vaelab.report import report
from vaelab.samplers.drawing import images
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
    if len(wanted[0]) not in (1, 3):
        write_images(torch.rand(9, 5, 8, 8), tmp_path / "five")
        with pytest.raises(UsageError, match="five has images of 5 channels, the real ones have"):
            evaluate_images(tmp_path / "five", folder / "test", metrics="frechet")


def test_images_in_files_are_seen_as_those_of_the_set(case):
    _, folder, run = case
    model, _, data = open_run(run, None, "cpu")
    paths = sorted((folder / "test").iterdir())
    found = read_images(paths, data.x_shape, fit=False, scale=model.scale)
    assert {x.numpy().tobytes() for x in found} == {x.numpy().tobytes() for x in data.test.images}


@pytest.mark.parametrize(("channels", "colours", "kept"), [(1, None, 1), (3, None, 3), (4, None, 4), (5, (4, 0, 2), 3)])
def test_samples_of_a_stage_come_back_from_their_picture(tmp_path, channels, colours, kept):
    model = {"latent_dim": 2, "backbone": {"kind": "progressive", "base_channels": 8}, "likelihood": "normal"}
    recipe = Recipe.of({"data": "shapes", "model": model, "train": {"epochs": 60}})
    grown = recipe.build_model((channels, 8, 8)).eval()
    x = torch.rand(9, channels, 8, 8)
    data = Dataset("t", Split(x), Split(x), Split(x), colours=colours)
    keep_stage(grown, data, 10**9, tmp_path)
    ((name, found),) = kept_stages(tmp_path).items()
    assert (name, found.shape) == ("8 × 8", (12, kept, 8, 8))
    wanted = shown(images(grown, grown.p_z(), 12, 0), colours)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.501 / 255)
    assert stages({name: found}).axes


def test_commands_write_and_read_files_of_any_depth(case, tmp_path):
    name, folder, run = case
    suffix = "png" if name == "1 uint16" else "tif"

    def typed(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result.output

    typed("sample", run, "-n", 3, "--images", tmp_path / "made", "--device", "cpu")
    typed("sample", run, "-n", 3, "--out", tmp_path / "sheet.png", "--device", "cpu")
    files = sorted((tmp_path / "made").iterdir())
    assert [path.name for path in files] == [f"0000{i}.{suffix}" for i in range(3)]
    typed("reconstruct", run, *files[:2], "--images", tmp_path / "back")
    for path, back in zip(files, sorted((tmp_path / "back" / "real").iterdir()), strict=False):
        assert path.name == back.name
        np.testing.assert_allclose(read_pixels(back).astype(float), read_pixels(path), rtol=0, atol=1e-5)
    typed("reconstruct", run, "-n", 2, "--out", tmp_path / "pairs.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "flat.png")
    said = typed("reconstruct", run, tmp_path / "flat.png", "--images", tmp_path / "no", code=2)
    assert "flat.png has 8 bits" in said or "flat.png has 1 channel, the model takes" in said
    assert not (tmp_path / "no").exists()
    typed(
        "data", "folder", f"path={folder}", "--images", tmp_path / "set", "--split", "test", "--out", tmp_path / "a.png"
    )
    exported = {read_pixels(path).tobytes() for path in (tmp_path / "set").iterdir()}
    assert len(exported) == 20
    if "uint16" in name:
        assert exported == {read_pixels(path).tobytes() for path in (folder / "test").iterdir()}
