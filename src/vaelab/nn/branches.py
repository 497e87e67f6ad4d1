"""Encoders of one image side by side, one for each level of its latents."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """One network for each level, whose outputs stand side by side; `widths` is how many features each gives."""

    def __init__(self, networks: Sequence[nn.Module], widths: list[int]) -> None:
        super().__init__()
        self.networks, self.widths = nn.ModuleList(networks), widths

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> features [B, Σ widths]."""
        return torch.cat([network(x) for network in self.networks], -1)
