"""Adam and AdamW, once as torch's fused kernel and once as formulas that a compiled step can swallow whole."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Adam:
    """The update of Kingma & Ba (2015); weight decay in the gradient, or decoupled (Loshchilov & Hutter 2019).

    It keeps no step count: the run's step is that. Parameters marked `spare_weight_decay` are never decayed.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = True,
    ) -> None:
        self.parameters, self.betas, self.eps, self.decoupled = list(parameters), betas, eps, decoupled
        self.decay = [0.0 if getattr(p, "spare_weight_decay", False) else weight_decay for p in self.parameters]
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def rates(self, lr: float, t: int) -> list[float]:
        """The numbers of the `t`-th update, counted from 1: t, lr, and what corrects m and √v for their start at 0.

        Computed here and not in the step, where a compiled loop would repeat the powers for every weight.
        """
        return [t, lr, lr / (1 - self.betas[0] ** t), 1 / math.sqrt(1 - self.betas[1] ** t)]

    def reset(self) -> None:
        """Forget all moments."""
        for moment in (*self.m, *self.v):
            moment.zero_()

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rates: Sequence[Tensor]) -> None:
        """One update with the `rates` as 0-d float32 tensors."""
        if torch.compiler.is_compiling():
            for i, gradient in enumerate(gradients):
                self._update(i, gradient, *rates)
        else:
            for decay in sorted(set(self.decay)):
                self._fused([i for i, d in enumerate(self.decay) if d == decay], gradients, rates[0], rates[1], decay)

    def _update(self, i: int, gradient: Tensor, t: Tensor, lr: Tensor, size: Tensor, root: Tensor) -> None:
        (b1, b2), p, m, v, decay = self.betas, self.parameters[i], self.m[i], self.v[i], self.decay[i]
        if decay and self.decoupled:
            p.mul_(1 - lr * decay)
        elif decay:
            gradient = gradient + decay * p
        m.lerp_(gradient, 1 - b1)
        v.lerp_(gradient * gradient, 1 - b2)
        p.sub_(size * m / (v.sqrt() * root + self.eps))

    def _fused(self, which: list[int], gradients: Sequence[Tensor], t: Tensor, lr: Tensor, decay: float) -> None:
        kernel = torch._fused_adamw_ if self.decoupled else torch._fused_adam_  # pyright: ignore
        parameters, m, v = ([many[i] for i in which] for many in (self.parameters, self.m, self.v))
        kernel(
            parameters,
            [gradients[i] for i in which],
            m,
            v,
            [],
            [t.float()] * len(which),
            lr=lr.float(),
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, list[Tensor]]:
        """What a checkpoint keeps."""
        return {"m": self.m, "v": self.v}

    def load(self, state: dict[str, list[Tensor]]) -> None:
        """Continue from a checkpoint's state."""
        for mine, theirs in zip(self.m + self.v, state["m"] + state["v"], strict=True):
            mine.copy_(theirs)
