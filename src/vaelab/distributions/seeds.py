"""The random numbers of a scope, apart from the caller's."""

import contextlib
from collections.abc import Iterator

import torch

from vaelab.errors import UsageError

CPU = torch.device("cpu")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Draws as after `torch.manual_seed(seed)`, on the CPU and `device`; then the caller's go on as if none were made.

    The seed of other devices stays as it is, and they are not woken up. UsageError for a seed that torch cannot take.
    """
    if not -(2**63) <= seed < 2**64:
        raise UsageError(f"seed {seed} is beyond what fits into 64 bits; give a smaller one")
    generators = [torch.default_generator, *_generators_of(device)]
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generators_of(device: torch.device) -> list[torch.Generator]:
    """What draws on a device beside the CPU's."""
    if device.type == "cuda":
        torch.cuda.init()
        return [torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]]
    return [torch.mps._get_default_mps_generator()] if device.type == "mps" else []
