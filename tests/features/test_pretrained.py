"""Weights are found in torch's hub folder, then in a data directory; what is said where they are not."""

from pathlib import Path

import pooch
import pytest
import torch

from vaelab.errors import UsageError, VaelabError
from vaelab.features.pretrained import INCEPTION, LPIPS_HEADS, NETWORKS, Weights, find, read

TOY = Weights("toy-0000.pth", "weights/toy.pth", "http://example.org/toy.pth", sha256="0000", exact=False)
SHAPES = {"a": (2, 3)}


def save(path: Path, value: float = 0.0, **tensors: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"a": torch.full((2, 3), value)} | tensors, path)


def test_the_hub_folder_comes_before_the_data_directory(tmp_path, cache):
    save(cache / TOY.path, 1.0)
    in_cache, cache_hash = read(TOY, SHAPES)
    save(tmp_path / "torch" / "hub" / "checkpoints" / TOY.name, 2.0, more=torch.zeros(1))
    in_hub, hub_hash = read(TOY, SHAPES)
    assert list(in_cache) == list(in_hub) == ["a"]
    assert (in_cache["a"][0, 0], in_hub["a"][0, 0]) == (1, 2)
    assert cache_hash != hub_hash
    assert len(hub_hash) == 12


@pytest.mark.parametrize("weights", [*NETWORKS.values(), *LPIPS_HEADS.values(), INCEPTION], ids=lambda w: w.name)
def test_offline_the_error_names_file_places_address_and_remedy(tmp_path, cache, weights):
    with pytest.raises(VaelabError) as error:
        find(weights)
    for part in (weights.name, tmp_path / "torch" / "hub", cache / weights.path, weights.url, "save it as"):
        assert str(part) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", {"a": torch.zeros(3, 2)}, {"b": torch.zeros(2, 3)}, [1, 2]],
    ids=["empty", "noise", "shape", "name", "list"],
)
def test_damaged_files_are_refused(cache, content):
    save(cache / TOY.path)
    if isinstance(content, bytes):
        (cache / TOY.path).write_bytes(content)
    else:
        torch.save(content, cache / TOY.path)
    with pytest.raises(UsageError, match=r"toy\.pth is truncated, damaged or another file"):
        read(TOY, SHAPES)


def test_heads_and_downloads_are_checked_by_hash(cache, monkeypatch):
    head = LPIPS_HEADS["squeeze"]
    save(cache / head.path)
    with pytest.raises(UsageError, match=f"should begin with {head.sha256}"):
        find(head)
    monkeypatch.setattr(pooch, "retrieve", lambda url, known_hash, name, folder, downloader: save(folder / name))
    with pytest.raises(VaelabError, match=r"it sent something else: its sha256 is .* should begin with 0000"):
        find(TOY)
    assert not (cache / TOY.path).exists()


def test_the_real_files_fit(real, monkeypatch):
    monkeypatch.setenv("VAELAB_DATA", str(real("weights")))
    for net, head in LPIPS_HEADS.items():
        assert find(head)[1] == head.sha256[:12], net
    assert find(NETWORKS["squeeze"])[1] == "2aa586b2d73c"  # rounded to float16, hence not b8a52dc0
