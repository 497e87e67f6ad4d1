"""The exponential moving average of the weights: added to in every eighth step, known for any."""

from collections.abc import Sequence

import torch
from torch import Tensor

STRIDE = 8  # steps between two additions to the sum: as good as every step, at an eighth of its cost
WARMUP = 9  # exponent of the short memory at the start, in which the mean age is a tenth of the steps


class Average:
    """average ← d · average + (1 − d) · weights, with d = ema^n for n steps, written into tensors of its own.

    At first d = (t / (t + n))^9, which is less, n steps after step t: the power function of Karras et al. (2024), which
    forgets the first weights. The sum is kept as of the last whole stride, and reading does not change it: the average
    is a function of the steps alone, whenever it was read before.
    """

    def __init__(self, weights: Sequence[Tensor], into: Sequence[Tensor], ema: float) -> None:
        self.weights, self.into, self.ema = list(weights), list(into), ema
        self.sum = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def add(self, step: int, since: int) -> None:
        """Take in the weights after a step, the `since`-th of the run or its stage."""
        if step % STRIDE == 0:
            torch._foreach_lerp_(self.sum, self.weights, self._share(STRIDE, since))  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def read(self, step: int, since: int) -> None:
        """Write the average after a step, the `since`-th of the run or its stage."""
        share = self._share(step % STRIDE, since)
        for target, past, weight in zip(self.into, self.sum, self.weights, strict=True):
            torch.lerp(past, weight, share, out=target)

    def _share(self, steps: int, since: int) -> float:
        """What the present weights count for in the last steps."""
        return 1 - min((max(since - steps, 0) / since) ** WARMUP, self.ema**steps)

    def load(self, past: Sequence[Tensor]) -> None:
        """Continue from the sum of a checkpoint."""
        for mine, theirs in zip(self.sum, past, strict=True):
            mine.copy_(theirs)
