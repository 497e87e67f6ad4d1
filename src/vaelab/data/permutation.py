"""Orders of more images than a list of numbers should hold: computed position by position."""

import math

import torch
from torch import Tensor

LISTED = 2**24  # images, up to which an order is a list: 128 MiB
ROUNDS = 6
_ODD = -7046029254386353131  # 0x9E3779B97F4A7C15, SplitMix64's constants as signed numbers
_MIX = -4658895280553007687, -7723592293110705685


def mixed(x: Tensor, key: int) -> Tensor:
    """64 bits int64 that look random, of numbers and a key (SplitMix64, Steele et al. 2014)."""
    x = x * _ODD + key
    x = (x ^ _shifted(x, 30)) * _MIX[0]
    x = (x ^ _shifted(x, 27)) * _MIX[1]
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """x >> bits of unsigned numbers, which torch lacks."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


class Permutation:
    """A pseudo-random order of n images that takes no memory: a Feistel network, walked until it is below n.

    The network permutes 4^k ≥ n numbers; one that lands at n or above goes through it again (Black & Rogaway 2002).
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.bits = max(1, math.ceil(math.log2(max(count, 2)) / 2))
        signed = (seed + 2**63) % 2**64 - 2**63
        self.keys = mixed(torch.arange(ROUNDS), signed).tolist()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, positions: Tensor) -> Tensor:
        """The images int64 at these positions."""
        found = self._once(positions)
        while (outside := found >= self.count).any():
            found[outside] = self._once(found[outside])
        return found

    def _once(self, x: Tensor) -> Tensor:
        mask = (1 << self.bits) - 1
        left, right = x >> self.bits, x & mask
        for key in self.keys:
            left, right = right, left ^ (_shifted(mixed(right, key), 20) & mask)
        return (left << self.bits) | right
