"""Images that changed since a run began: no run is carried on with others, and no number of them goes unremarked."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

import vaelab
from vaelab.data import load
from vaelab.data.source import Dataset, Split
from vaelab.errors import UsageError

RECIPE = """
data: {kind: folder, path: PLACE}
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}, likelihood: continuous_bernoulli}
objective: elbo
train: {epochs: 1, batch_size: 8, draw_every: 0}
"""


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    paint(tmp_path / "photos", range(30))
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("PLACE", str(tmp_path / "photos")))
    return tmp_path / "photos"


def paint(folder, numbers) -> None:
    for number in numbers:
        Image.new("L", (4, 4), number).save(folder / f"{number:03}.png")


def train(photos, *words, **options):
    recipe, run = photos.parent / "tiny.yaml", photos.parent / "run"
    return vaelab.train(str(recipe), *words, run=run, device="cpu", quiet=True, **options)


@pytest.mark.parametrize("change", ["more", "other"])
def test_a_run_is_not_carried_on_with_other_images(photos, change):
    run = train(photos)
    before = {path.name: path.read_bytes() for path in run.glob("l*")}
    Image.new("L", (4, 4), 200).save(photos / ("000.png" if change == "other" else "more.png"))
    with pytest.raises(UsageError) as error:
        train(photos, "train.epochs=2", resume=True)
    said, now = str(error.value), load("folder", path=photos).digest
    assert said.startswith(f"{run / 'last.pt'} was trained on 24 + 3 + 3 images of 1×4×4 (")
    assert f"), and now there are {now}, split anew; put the images back as they were, or start a new run" in said
    assert {path.name: path.read_bytes() for path in run.glob("l*")} == before
    if change == "more":
        (photos / "more.png").unlink()
        train(photos, "train.epochs=2", resume=True)


def test_numbers_of_other_images_are_told_from_those_of_the_same(photos):
    run = train(photos)
    first = vaelab.evaluate(run, metrics="active_units", device="cpu")
    assert first["digest"] == load("folder", path=photos).digest
    assert not [note for note in first["notes"] if "trained on" in note]
    paint(photos, range(30, 33))
    with pytest.warns(UserWarning, match="was trained on 24 .*, and these are 27 .*, split anew: some that it"):
        after = vaelab.evaluate(run, metrics="reconstruction", device="cpu")
    assert [note for note in after["notes"] if note.startswith("the model was trained on 24 + 3 + 3 images")]
    assert after["digest"] != first["digest"] and list(after["metrics"]) == ["reconstruction"]
    assert json.loads((run / "metrics.json").read_text())["digest"] == after["digest"]


def test_the_digest_changes_with_any_image_label_or_split():
    images, labels = torch.arange(40).reshape(10, 1, 2, 2).byte(), torch.arange(10) % 2
    parts = [Split(images[i:j], labels[i:j]) for i, j in ((0, 6), (6, 8), (8, 10))]
    data = Dataset("it", *parts)
    pixel, label = images[:6].clone(), labels[:6].clone()
    pixel[5, 0, 1, 1] += 1
    label[0] = 1
    others = [
        replace(data, train=Split(pixel, labels[:6])),
        replace(data, train=Split(images[:6], label)),
        replace(data, train=Split(images[:6])),
        replace(data, valid=parts[2], test=parts[1]),
        replace(data, train=Split(images[:7], labels[:7])),
        replace(data, train=Split(images[:6].reshape(6, 1, 4, 1), labels[:6])),
    ]
    assert len({data.digest, *(other.digest for other in others)}) == 7
    assert replace(data, name="other", train=Split(images[:6].clone(), labels[:6])).digest == data.digest
    assert data.digest.startswith("6 + 2 + 2 images of 1×2×2 (")


def test_of_a_large_split_images_all_over_are_hashed(monkeypatch):
    monkeypatch.setattr("vaelab.data.dataset.HASHED_BYTES", 1000)
    images = torch.zeros(5000, 1, 1, 1, dtype=torch.uint8)
    found = set()
    for place in (0, 2500, 4999):  # every sixth image is hashed
        changed = images.clone()
        changed[max(0, place - 6) : place + 6] = 1
        found.add(Dataset("it", *[Split(changed)] * 3).digest)
    assert len(found) == 3
