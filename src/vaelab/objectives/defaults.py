"""What an objective may leave out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vaelab.terms import Terms


def elbo(terms: Terms) -> Tensor:
    """The ELBO per image [B]."""
    return terms.log_px.mean(0) - terms.rate


@dataclass(frozen=True)
class Completed:
    """An objective with what its author left out: one draw, scores of q and all, nothing that settles, the ELBO."""

    goal: Callable[..., tuple[Tensor, dict[str, Tensor | float]]]
    samples: int = 1
    path: bool = False
    settled: int = 0
    bound: Callable[[Terms], Tensor] = elbo

    def __call__(self, terms: Terms, step: float | Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The author's own loss and scalars."""
        return self.goal(terms, step)


def completed(goal: Any) -> Any:
    """The objective itself where it has all that training asks of one, else with defaults for the rest."""
    given = {name: getattr(goal, name) for name in ("samples", "path", "settled", "bound") if hasattr(goal, name)}
    return goal if len(given) == 4 else Completed(goal, **given)
