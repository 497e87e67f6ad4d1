"""Random weights in torch's hub folder, so that the mathematics is tested where the real ones are not."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

from vaelab.features import networks, pretrained
from vaelab.features.lpips import LPIPS


@pytest.fixture
def random_lpips(tmp_path, monkeypatch) -> Callable[[str], LPIPS]:
    """`random_lpips(net)`: its network and heads are random."""

    def build(net: str) -> LPIPS:
        folder = tmp_path / "torch" / "hub" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        layers, taps = networks._LAYERS[net]()
        state = {f"features.{key}": tensor for key, tensor in nn.Sequential(*layers).state_dict().items()}
        torch.save(state | {"classifier.1.bias": torch.zeros(1000)}, folder / pretrained.NETWORKS[net].name)
        heads = dataclasses.replace(pretrained.LPIPS_HEADS[net], sha256="")
        monkeypatch.setitem(pretrained.LPIPS_HEADS, net, heads)
        weights = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(taps.values())}
        torch.save(weights, folder / heads.name)
        return LPIPS(net)

    return build
