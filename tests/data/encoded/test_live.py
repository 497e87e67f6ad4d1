"""Images decoded live: the same as those decoded once, without a copy; what is broken is named."""

import threading
import warnings
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import vaelab
from vaelab.data.encoded import ahead, decode
from vaelab.data.encoded.live import LiveImages
from vaelab.data.folder import ImageFolder
from vaelab.data.source import Dataset
from vaelab.data.stored import Images
from vaelab.errors import MixedSizes, UsageError
from vaelab.io import places
from vaelab.training.checkpoint import read_checkpoint

RECIPE = """
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}, likelihood: normal}
train: {epochs: 3, batch_size: 8, draw_every: 0}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "cache", lambda: tmp_path / "cache")


@pytest.fixture
def root(tmp_path) -> Path:
    """60 coloured pictures of 12 × 10 in two classes, of several formats."""
    random = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / "own" / "ab"[i % 2] / f"{i:02d}.{('png', 'jpg', 'webp')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (10, 12, 3), np.uint8)).save(path)
    return tmp_path / "own"


def folder(path: Path, how: str, **options) -> Dataset:
    return ImageFolder(path=str(path), folders="classes", decode=how, **options).load()  # pyright: ignore[reportArgumentType]


def equal(live: Dataset, once: Dataset) -> None:
    for mine, theirs in zip((live.train, live.valid, live.test), (once.train, once.valid, once.test), strict=True):
        assert isinstance(mine.images, Images) and mine.images.dtype == theirs.images.dtype
        assert torch.equal(mine.images[:], theirs.images[:]) and torch.equal(mine.labels, theirs.labels)
    assert live.digest == once.digest and live.classes == once.classes and live.summary == once.summary


@pytest.mark.parametrize("options", [{}, {"size": 8}, {"channels": 1, "crop": 6}, {"scale": "percentile"}], ids=str)
def test_live_images_are_those_decoded_once(root, options):
    equal(folder(root, "live", **options), folder(root, "once", **options))


def test_so_are_those_in_a_zip_and_of_16_bits(root, tmp_path):
    with ZipFile(tmp_path / "own.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    equal(folder(tmp_path / "own.zip", "live"), folder(root, "once"))
    for path in root.rglob("*.*"):
        path.unlink()
        deep = torch.randint(65536, (10, 12), generator=torch.Generator().manual_seed(int(path.stem)))
        Image.fromarray(deep.numpy().astype(np.uint16)).save(path.with_suffix(".png"))
    equal(folder(root, "live"), folder(root, "once"))


def test_nothing_is_written_and_only_what_is_asked_for_is_decoded(root, tmp_path, monkeypatch):
    decoded = []
    attempt = ahead.attempt
    monkeypatch.setattr(
        "vaelab.data.encoded.live.attempt", lambda read, name, file: decoded.append(name) or attempt(read, name, file)
    )
    data = folder(root, "live")
    assert len(decoded) <= 2 and not (tmp_path / "cache").exists()
    rows = torch.tensor([5, 3, 3])
    decoded.clear()
    x = data.train.images[rows]
    assert len(decoded) == 3 and decoded[1] == decoded[2] and torch.equal(x[1], x[2])


@pytest.mark.parametrize("how", ["once", "live"])
def test_channels_are_what_the_files_say(tmp_path, how):
    """Grey pixels in files of colours are colours when they are decoded live, and grey when all are known."""
    random = np.random.default_rng(0)
    for i in range(20):
        grey = random.integers(0, 256, (8, 8), np.uint8)
        for kind, image in {"grey": grey, "both": grey if i else np.stack([grey, grey, 255 - grey], -1)}.items():
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / kind / f"{i}.png")
        (tmp_path / "false").mkdir(exist_ok=True)
        Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "false" / f"{i}.png")
    found = {kind: folder(tmp_path / kind, how).x_shape[0] for kind in ("grey", "both", "false")}
    assert found == {"grey": 1, "both": 3, "false": 3 if how == "live" else 1}


def test_files_without_a_head_are_left_out_with_a_warning(root):
    (root / "a" / "00.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"(?s)left out 1 of the 60 images .*a/00\.png: cannot identify"):
        live = folder(root, "live")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equal(live, folder(root, "once"))


def test_other_sizes_are_counted_and_named_before_any_is_decoded(root, monkeypatch):
    Image.new("RGB", (11, 10)).save(root / "a" / "00.png")
    monkeypatch.setattr(decode, "upright", lambda *_: pytest.fail("decoded"))
    with pytest.raises(MixedSizes, match=r"59 of 10×12 \(.*\), 1 of 10×11 \(a/00\.png\)"):
        folder(root, "live")


def test_nothing_readable_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="none is left; correct the path"):
        folder(tmp_path, "live")


def test_a_file_that_breaks_off_or_changes_is_named(root):
    images = folder(root, "live").train.images
    broken = root / "a" / "06.png"
    broken.write_bytes(broken.read_bytes()[:150])
    with pytest.raises(UsageError, match=r"own/a/06\.png cannot be read: .*; mend or remove it"):
        images[:]
    Image.new("RGB", (5, 4)).save(broken)
    with pytest.raises(UsageError, match=r"own/a/06\.png comes out as 3×4×5 of uint8, the others as 3×10×12 of uint8"):
        images[:]


def test_training_on_them_is_training_on_those_decoded_once(root, tmp_path):
    (tmp_path / "r.yaml").write_text(f"data: {{kind: folder, path: {root}, folders: classes}}\n{RECIPE}")
    before = threading.active_count()

    def weights(how: str, name: str, *overrides: str, resume: bool = False) -> dict[str, Tensor]:
        chosen = (f"data.decode={how}", *overrides)
        run = vaelab.train(tmp_path / "r.yaml", *chosen, run=tmp_path / name, device="cpu", quiet=True, resume=resume)
        return read_checkpoint(run / "last.pt").train_state["model"]

    whole = weights("once", "once")
    weights("live", "resumed", "train.epochs=1")
    for found in (weights("live", "live"), weights("live", "resumed", "train.epochs=3", resume=True)):
        assert found.keys() == whole.keys() and all(torch.equal(found[k], whole[k]) for k in whole)
    assert threading.active_count() == before


def test_a_file_that_breaks_in_training_ends_the_run_in_one_sentence_and_its_checkpoint_stays(
    root, tmp_path, monkeypatch
):
    (tmp_path / "r.yaml").write_text(
        f"data: {{kind: folder, path: {root}, folders: classes, decode: live, train_size: 40}}\n{RECIPE}"
    )
    before, take, run = threading.active_count(), LiveImages.take, tmp_path / "run"

    def breaks(self, rows):
        if (run / "last.pt").exists():
            for path in (root / "b").iterdir():
                path.write_bytes(path.read_bytes()[:100])
        return take(self, rows)

    monkeypatch.setattr(LiveImages, "take", breaks)
    with pytest.raises(UsageError, match=r"own/b/.* cannot be read: ") as error:
        vaelab.train(tmp_path / "r.yaml", run=run, device="cpu", quiet=True)
    assert error.value.exit_code == 2 and "\n" not in str(error.value)
    assert read_checkpoint(run / "last.pt").progress.step in (5, 10)
    assert threading.active_count() == before
