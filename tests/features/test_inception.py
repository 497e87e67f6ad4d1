"""Inception up to its weights, which are not to be had where tests run."""

import sys
import types
from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest
import torch

from vaelab.errors import UsageError, VaelabError
from vaelab.features import inception
from vaelab.features.inception import Inception

CPU = torch.device("cpu")


STUBS = ["", ".datasets", ".transforms", ".transforms.functional"]


@pytest.fixture
def fidelity(monkeypatch) -> Iterator[types.ModuleType]:
    """torch-fidelity around an empty torchvision, which has no build for the pinned torch; forgotten afterwards."""
    for name in STUBS:
        monkeypatch.setitem(sys.modules, f"torchvision{name}", MagicMock())
    before = set(sys.modules)
    yield pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is not installed", exc_type=ImportError
    )
    for name in set(sys.modules) - before:
        if name.startswith("torch_fidelity"):
            del sys.modules[name]


def test_inception_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UsageError, match=r"pip install 'vaelab\[fidelity\]'"):
        Inception(CPU)


def test_inception_without_its_weights_says_where_they_are(fidelity):
    with pytest.raises(VaelabError, match=f"downloading {fidelity.URL_INCEPTION_V3} failed"):
        Inception(CPU)


@pytest.mark.slow
def test_inception_gives_torch_fidelitys_features(fidelity, monkeypatch, tmp_path):
    """With random weights, because the real ones are not to be had here."""
    path = tmp_path / "weights.pth"
    torch.save({}, path)
    monkeypatch.setattr(inception, "find", lambda weights: (path, "0" * 12))
    monkeypatch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    extractor = Inception(CPU)
    grey = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    found = extractor(grey)
    assert found.shape == (2, 2048)
    assert torch.equal(found, extractor.network(grey.repeat(1, 3, 1, 1))[0])
