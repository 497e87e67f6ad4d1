"""What may be asked of any distribution over latents, torch's own or one that knows more of itself."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.roles import Latent

MOMENT_DRAWS = 64  # of a distribution without moments, for these


def location(q: Distribution) -> Tensor:
    """The mean; of a distribution that has none in closed form, another point that stands for it."""
    return q.location if isinstance(q, Latent) else q.mean


def condition(p: Distribution, y: Tensor | None) -> Distribution:
    """p(z | y) of a distribution that knows classes, else p(z)."""
    return p.condition(y) if y is not None and isinstance(p, Latent) else p


def sample_n(p: Distribution, count: int) -> Tensor:
    """So many draws z [count, D] of p(z), or one of each p(z | y) of `count` classes."""
    return p.sample() if p.batch_shape else p.sample(torch.Size((count,)))


def rsample_and_log_prob(q: Distribution, samples: int) -> tuple[Tensor, Tensor]:
    """Reparameterised z [K, B, D] and log q(z) [K, B] in one call; a flow is never inverted for what it just drew."""
    if isinstance(q, Latent):
        return q.rsample_and_log_prob(samples)
    z = q.rsample(torch.Size((samples,)))
    return z, q.log_prob(z)


def has_moments(q: Distribution) -> bool:
    """Whether mean and variance have a closed form."""
    return q.has_moments if isinstance(q, Latent) else True


def moments(q: Distribution, samples: int = MOMENT_DRAWS) -> tuple[Tensor, Tensor]:
    """Mean and variance per dimension; where they have no closed form, those of so many draws."""
    if has_moments(q):
        return q.mean, q.variance
    z = q.sample(torch.Size((samples,)))
    return z.mean(0), z.var(0)


def detached(q: Distribution) -> Distribution:
    """The same distribution, as a constant of the tensors that it holds; of its networks, see `constant`."""
    frozen = copy.copy(q)
    for name, value in vars(q).items():
        if isinstance(value, Tensor):
            setattr(frozen, name, value.detach())
        elif isinstance(value, Distribution):
            setattr(frozen, name, detached(value))
    return frozen


@contextmanager
def constant(network: nn.Module) -> Iterator[None]:
    """Within it, what is computed passes no gradient to the network's parameters."""
    learned = [p for p in network.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
