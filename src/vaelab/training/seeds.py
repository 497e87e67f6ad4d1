"""Random numbers as functions of (seed, rank, step), so that no generator state needs to be kept."""

import torch

_STREAMS = {"noise": 0, "order": 1, "valid": 2, "init": 3, "calibrate": 4}


def seed_of(stream: str, seed: int, rank: int, step: int) -> int:
    """A 63-bit number that differs between streams, seeds, ranks and steps (SplitMix64, Steele et al. 2014)."""
    mixed = 0
    for part in (_STREAMS[stream], seed, rank, step):
        mixed = (mixed + part + 0x9E3779B97F4A7C15) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        mixed ^= mixed >> 31
    return mixed >> 1


def seed_device(device: torch.device, seed: int) -> None:
    """`torch.manual_seed` without its look at every backend there is, a tenth of a millisecond per step."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
