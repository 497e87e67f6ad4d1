"""The bound of held-out images: what models are selected by."""

from collections import Counter
from contextlib import closing
from typing import Any

import torch

from vaelab.data.prefetch import in_turn
from vaelab.data.source import Split
from vaelab.model import VAE
from vaelab.training.process_group import ProcessGroup
from vaelab.training.seeds import seed_of

PIXELS = 16_384 * 28 * 28  # decoded at once
ENLARGED = 64  # times as much memory that a perceptual network takes, which sees images of 64 × 64 in many channels


@torch.no_grad()
def validate(model: VAE, objective: Any, split: Split, seed: int, group: ProcessGroup) -> dict[str, float]:
    """Mean of −bound, reconstruction and KL over the images of a split, nats per image, at β = 1.

    The same noise every time, so that epochs compare; the images are dealt out to the processes.
    """
    sums: Counter[str] = Counter()
    enlarged = ENLARGED if model.scores == "loss" else 1
    size = PIXELS // (split.images[0].numel() * objective.samples * enlarged)
    rows = torch.arange(len(split))[group.rank :: group.size]
    counts = float(len(rows) > 0)  # a process that no image is left for scores the first one, for nothing
    rows = rows if counts else torch.arange(1)
    with closing(in_turn(split, rows.split(max(1, size // group.size)))) as mine:
        for i, part in enumerate(mine):
            torch.manual_seed(seed_of("valid", seed, group.rank, i))
            terms = model(*part.as_input(group.device, model.classes > 0), samples=objective.samples)
            sums["loss"] -= counts * objective.bound(terms).cpu().double().sum().item()
            sums["reconstruction"] -= counts * terms.log_px.cpu().double().mean(0).sum().item()
            for name, kl in {"kl": terms.rate, **terms.by_level}.items():
                sums[name] += counts * kl.cpu().double().sum().item()
    return {name: total / len(split) for name, total in group.all_reduce_sum(sums).items()}
