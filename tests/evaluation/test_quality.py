"""Quality of sets: every image's numbers in a file, a summary, and a cache that knows when images changed."""

import csv
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.errors import UsageError
from vaelab.evaluation import quality as module
from vaelab.evaluation.images import write_images
from vaelab.evaluation.quality import quality
from vaelab.metrics.sharpness import STATISTICS, sharpness_statistics
from vaelab.recipe.recipe import Recipe, as_json
from vaelab.training.checkpoint import save_model

RNG = np.random.default_rng(0)


@pytest.fixture
def images():
    return torch.randint(0, 256, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture
def folder(tmp_path, images):
    write_images(images.float() / 255, tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def measuring(monkeypatch):
    """Counts how many sets are really measured."""
    counted = []
    for kind in (module.ImageFolder, module.RunSamples):
        plain = kind.measure
        monkeypatch.setattr(kind, "measure", lambda self, plain=plain: counted.append(self) or plain(self))
    return counted


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def make_run(folder, width=8):
    """A run of an untrained model, as far as its model file goes."""
    torch.manual_seed(width)
    model = {"latent_dim": 2, "backbone": {"kind": "mlp", "width": width}}
    recipe = Recipe.of({"data": "digits", "model": model, "train": {"epochs": 1}})
    folder.mkdir(exist_ok=True)
    metadata = {"recipe": as_json(recipe.name, recipe.options), "x_shape": "[1, 8, 8]"}
    save_model(folder / "model.safetensors", recipe.build_model((1, 8, 8)), metadata)
    return folder


def test_numbers_of_each_image_and_their_summary(folder, images, tmp_path):
    (summary,) = quality([folder], tmp_path / "out")
    found, expected = rows(tmp_path / "out" / "set.csv"), sharpness_statistics(images)
    assert [row["image"] for row in found] == [f"{i:05d}.png" for i in range(12)]
    assert (summary["set"], summary["images"]) == ("set", 12)
    for name in STATISTICS:
        np.testing.assert_allclose([float(row[name]) for row in found], expected[name], rtol=1e-6)
        column = expected[name].double().numpy()
        wanted = [column.mean(), np.median(column), np.quantile(column, 0.9)]
        np.testing.assert_allclose([summary[f"{name}_{what}"] for what in ("mean", "median", "p90")], wanted)
    assert rows(tmp_path / "out" / "summary.csv") == [{key: str(value) for key, value in summary.items()}]


def test_what_is_unchanged_is_not_measured_again(folder, tmp_path, measuring):
    first = quality([folder], tmp_path / "out")
    assert quality([folder], tmp_path / "out") == first
    assert len(measuring) == 1


@pytest.mark.parametrize("change", ["replace", "touch", "add", "remove", "rename", "table", "note"])
def test_what_changed_is_measured_again(folder, tmp_path, measuring, change):
    (before,) = quality([folder], tmp_path / "out")
    first, out = folder / "00000.png", tmp_path / "out"
    if change == "replace":
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(first)
    elif change == "touch":
        os.utime(first, ns=(1, first.stat().st_mtime_ns + 1))
    elif change == "add":
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / "new.png")
    elif change == "remove":
        first.unlink()
    elif change == "rename":
        first.rename(folder / "zero.png")
    elif change == "table":
        (out / "set.csv").write_text("image,laplacian_variance\n00000.png,what")
    else:
        (out / "set.json").unlink()
    (after,) = quality([folder], out)
    assert len(measuring) == 2
    assert len(rows(out / "set.csv")) == after["images"] == {"add": 13, "remove": 11}.get(change, 12)
    assert (after["tenengrad_mean"] == pytest.approx(before["tenengrad_mean"])) == (
        change in ("touch", "rename", "table", "note")
    )


def test_sizes_modes_and_formats_may_mix(tmp_path):
    (tmp_path / "set" / "deep").mkdir(parents=True)
    grey, colour = RNG.integers(0, 256, (20, 30), np.uint8), RNG.integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(grey).save(tmp_path / "set" / "deep" / "b.bmp")
    Image.fromarray(colour).save(tmp_path / "set" / "a.png")
    Image.fromarray(grey).save(tmp_path / "set" / "c.PNG")
    quality([tmp_path / "set"], tmp_path / "out")
    a, b, c = rows(tmp_path / "out" / "set.csv")
    assert [a["image"], b["image"], c["image"]] == ["a.png", "c.PNG", "deep/b.bmp"]
    wide = sharpness_statistics(torch.from_numpy(grey)[None, None])
    small = sharpness_statistics(torch.from_numpy(colour).movedim(-1, 0)[None])
    for row, expected in ((a, small), (b, wide), (c, wide)):
        np.testing.assert_allclose(
            [float(row[k]) for k in STATISTICS], [expected[k].item() for k in STATISTICS], rtol=1e-5
        )


def test_unreadable_images_are_named_and_left_out_each_time(folder, tmp_path, measuring):
    (folder / "00003.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((1, 9), np.uint8)).save(folder / "line.png")
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"set: left out 2 unreadable images:\n  00003.png: .*\n  line.png: less than 2"
        ):
            (row,) = quality([folder], tmp_path / "out")
        assert row["images"] == 11
    assert len(measuring) == 1


def test_a_run_is_judged_by_its_samples(tmp_path, measuring):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    (row,) = quality([run], out, n=7, device="cpu")
    assert (row["set"], row["images"]) == ("run", 7)
    assert quality([run / "model.safetensors"], out, n=7, device="cpu") == [row]
    assert len(measuring) == 1
    for change in ({"n": 8}, {"n": 7, "seed": 1}):
        quality([run], out, **change, device="cpu")
    make_run(run, width=9)
    assert quality([run], out, n=7, device="cpu") != [row]
    assert len(measuring) == 4


def test_the_samples_are_those_of_vaelab_sample(tmp_path):
    import vaelab

    run = make_run(tmp_path / "run")
    write_images(vaelab.sample(run, 6, seed=3, device="cpu"), tmp_path / "files")
    drawn, read = quality([run, tmp_path / "files"], tmp_path / "out", n=6, seed=3, device="cpu")
    np.testing.assert_allclose(list(drawn.values())[1:], list(read.values())[1:], rtol=1e-5)


def test_equal_names_are_told_apart(tmp_path, images):
    paths = [tmp_path / name for name in ("a/samples", "b/samples", "c/other", "summary")]
    for path in paths:
        write_images(images[:2].float() / 255, path)
    found = quality([*paths, tmp_path / "a" / ".." / "a" / "samples"], tmp_path / "out")
    assert [row["set"] for row in found] == ["a-samples", "b-samples", "other", f"{tmp_path.name}-summary"]
    assert len(rows(tmp_path / "out" / "summary.csv")) == 4


def test_what_is_no_set_is_said_in_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    (tmp_path / "untrained").mkdir()
    (tmp_path / "untrained" / "recipe.yaml").write_text("data: digits")
    cases = {
        "nowhere": r"nowhere is neither a folder of images nor a run; correct the path",
        "file.txt": r"file.txt is neither a folder of images nor a run",
        "empty": r"empty holds no images \(.png, .*\); correct the path",
        "broken": r"no image in .*broken can be read, for example a.png: cannot identify image file",
        "untrained": r"no model.safetensors in .*untrained: training has not finished an epoch there",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, message in cases.items():
            with pytest.raises(UsageError, match=message) as error:
                quality([tmp_path / name], tmp_path / "out")
            assert "\n" not in str(error.value)
        Image.new("L", (8, 8)).save(tmp_path / "empty.png")
        with pytest.raises(UsageError, match="nowhere is neither"):
            quality([tmp_path, tmp_path / "nowhere"], tmp_path / "out")
        assert not (tmp_path / "out").exists(), "all are looked at before the first is measured"
        with pytest.raises(UsageError, match="nothing to measure; name folders of images, or runs"):
            quality([], tmp_path / "out")


def test_names_that_are_no_text_are_spelled_out(folder, tmp_path, measuring):
    odd = os.fsdecode(b"caf\xe9")
    (folder / "00003.png").rename(folder / f"{odd}.png")
    folder = folder.rename(tmp_path / odd)
    for _ in range(2):
        (row,) = quality([folder], tmp_path / "out")
        assert row["images"] == 12
    table = (tmp_path / "out" / f"{odd}.csv").read_text(encoding="utf-8")
    assert "caf\\udce9.png," in table and len(measuring) == 1
