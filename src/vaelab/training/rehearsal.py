"""A rehearsal: parts that break their contracts, or do not go together, say so before anything is written."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.images import to_floats
from vaelab.data.source import Dataset
from vaelab.distributions.latent import rsample_and_log_prob
from vaelab.errors import UsageError, VaelabError
from vaelab.model import VAE
from vaelab.registry.plugins import explained, plugin_records
from vaelab.training.values import refuse_other_values

IMAGES = 2
SAMPLES = 64  # draws at most, which show as much as the thousands that a training may have memory for


@torch.no_grad()
def rehearse(model: VAE, objective: Any, data: Dataset, foreign: bool = False) -> None:
    """Score two training images as a step will; UsageError says which part does not do what is asked of it.

    `foreign` are parts that are not ours, or may not be.
    """
    refuse_other_values(model.likelihood, data)
    x, labels = to_floats(data.train.images[:IMAGES]), data.train.labels
    y = labels[:IMAGES] if labels is not None and model.classes else None
    try:
        with explained():
            _check_distributions(model.eval(), x, y)
            terms = model(x, y, samples=min(objective.samples, SAMPLES))
            _check_loss(objective(terms, 0), objective.bound(terms))
    except VaelabError:
        raise
    except Exception as error:
        if not (
            foreign or isinstance(error, ValueError) or plugin_records()
        ):  # a fault of ours, whose traceback is wanted
            raise
        raise UsageError(f"these parts do not go together: {error}") from error


def _check_distributions(model: VAE, x: Tensor, y: Tensor | None) -> None:
    q = _distribution("posterior", model.q_z(x, y))
    if len(q.event_shape) != 1:
        raise UsageError(_misshapen("posterior", q, "[D], the latent dimensions"))
    p = _distribution("prior", model.p_z(y))
    if p.event_shape != q.event_shape:
        raise UsageError(_misshapen("prior", p, f"{list(q.event_shape)}, the latent dimensions"))
    image = _distribution("likelihood", model.p_x(rsample_and_log_prob(q, 1)[0], y))
    if image.event_shape != x.shape[1:]:
        raise UsageError(_misshapen("likelihood", image, f"{list(x.shape[1:])}, an image"))


def _distribution(role: str, found: Any) -> Distribution:
    if not isinstance(found, Distribution):
        raise UsageError(f"the {role} returns a {type(found).__name__}; return a torch.distributions.Distribution")
    return found


def _misshapen(role: str, found: Distribution, wanted: str) -> str:
    return (
        f"the {role}'s distribution scores events of shape {list(found.event_shape)}, and each is {wanted}; "
        "wrap it in torch.distributions.Independent, so that log_prob is one number each"
    )


def _check_loss(result: Any, bound: Any) -> None:
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
        raise UsageError(f"the objective returns {_shape(result)}; return loss, scalars: a number and a dict to log")
    wrong = [f"{name} is {_shape(value)}" for name, value in {"loss": result[0], **result[1]}.items() if _many(value)]
    if wrong:
        raise UsageError(f"the objective's {wrong[0]}; give one number, the mean over the images")
    if not isinstance(bound, Tensor) or bound.shape != (IMAGES,):
        raise UsageError(f"the objective's bound is {_shape(bound)}; give one number per image, [B]")


def _many(value: Any) -> bool:
    return value.dim() > 0 if isinstance(value, Tensor) else not isinstance(value, int | float)


def _shape(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
