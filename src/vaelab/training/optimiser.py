"""Adam and AdamW, once as torch's fused kernel and once as formulas that a compiled step can swallow whole."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Adam:
    """The update of Kingma & Ba (2015); weight decay in the gradient, or decoupled (Loshchilov & Hutter 2019).

    A parameter without a gradient, such as those of blocks that a growing model has yet to reach, is left alone: not
    decayed, and its updates, which the corrections for a start at 0 go by, are counted from the first that it gets.
    Those in `spared` are never decayed.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = True,
        spared: Iterable[nn.Parameter] = (),
    ) -> None:
        self.parameters, self.betas, self.eps, self.decoupled = list(parameters), betas, eps, decoupled
        kept = {id(p) for p in spared}
        self.decay = [0.0 if id(p) in kept else weight_decay for p in self.parameters]
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]
        self.reset()

    def rates(self, lr: float, dtype: torch.dtype = torch.float32) -> Tensor:
        """For each parameter its next update's number t, lr, and what corrects m and √v for their start at 0: [P, 4].

        Computed here and not in the step, where a compiled loop would repeat the powers for every weight.
        """
        (b1, b2), numbers = self.betas, (done + 1 for done in self.updates)
        table = [[t, lr, lr / (1 - b1**t), 1 / math.sqrt(1 - b2**t)] for t in numbers]
        return torch.tensor(table, dtype=dtype)[self.groups]

    def count(self, moved: list[int]) -> None:
        """Note which parameters an update moved; apart from it, as a compiled step would be compiled for each count."""
        if moved != self.moved:
            self._regroup(moved)
        for group in {self.groups[i] for i in moved}:
            self.updates[group] += 1

    def reset(self) -> None:
        """Forget all moments."""
        # Parameters that were always moved together are a group: the number of each, and the updates of each group.
        self.groups, self.updates = [0 for _ in self.parameters], [0]
        self.moved = list(range(len(self.parameters)))
        for moment in (*self.m, *self.v):
            moment.zero_()

    def _regroup(self, moved: list[int]) -> None:
        """Part the groups of which only some are moved."""
        inside = set(moved)
        parts = [(group, i in inside) for i, group in enumerate(self.groups)]
        known = {part: number for number, part in enumerate(dict.fromkeys(parts))}
        self.groups, self.updates = [known[part] for part in parts], [self.updates[group] for group, _ in known]
        self.moved = moved

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], rates: Tensor) -> list[int]:
        """One update with the `rates` [parameters, 4]; returns which parameters it moved, to be counted."""
        moved = [i for i, gradient in enumerate(gradients) if gradient is not None]
        if torch.compiler.is_compiling():
            for i in moved:
                self._update(i, gradients[i], *rates[i].unbind())
        else:
            for decay in sorted(set(self.decay)):
                self._fused([i for i in moved if self.decay[i] == decay], gradients, rates, decay)
        return moved

    def _update(self, i: int, gradient: Any, t: Tensor, lr: Tensor, size: Tensor, root: Tensor) -> None:
        (b1, b2), p, m, v, decay = self.betas, self.parameters[i], self.m[i], self.v[i], self.decay[i]
        if decay and self.decoupled:
            p.mul_(1 - lr * decay)
        elif decay:
            gradient = gradient + decay * p
        m.lerp_(gradient, 1 - b1)
        v.lerp_(gradient * gradient, 1 - b2)
        p.sub_(size * m / (v.sqrt() * root + self.eps))

    def _fused(self, which: list[int], gradients: Sequence[Any], rates: Tensor, decay: float) -> None:
        if not which:
            return
        kernel = torch._fused_adamw_ if self.decoupled else torch._fused_adam_  # pyright: ignore[reportPrivateImportUsage]
        parameters, m, v = ([many[i] for i in which] for many in (self.parameters, self.m, self.v))
        numbers = {self.groups[i]: i for i in which}  # one tensor for all of a group: there may be hundreds
        numbers = {group: rates[i, 0].float() for group, i in numbers.items()}
        kernel(
            parameters,
            [gradients[i] for i in which],
            m,
            v,
            [],
            [numbers[self.groups[i]] for i in which],
            lr=rates[0, 1].float(),
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"m": self.m, "v": self.v, "updates": torch.tensor(self.updates)[self.groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.reset()
        known, groups = state["updates"].cpu().unique(return_inverse=True)
        self.groups, self.updates = groups.tolist(), known.tolist()
        for mine, theirs in zip(self.m + self.v, state["m"] + state["v"], strict=True):
            mine.copy_(theirs)
