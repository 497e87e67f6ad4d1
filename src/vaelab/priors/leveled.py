"""Priors of latents in levels, with any other prior at the top."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Any, cast

from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from vaelab.data.source import Split
from vaelab.distributions.hierarchy import Hierarchy
from vaelab.nn.gated import GatedLinear
from vaelab.nn.heads import NormalHead
from vaelab.registry import Role, Size, register
from vaelab.roles import Level, Posterior, Prior


class TopOf(Posterior):
    """A posterior's top level alone: what the prior of the top level may be made of."""

    def __init__(self, posterior: Posterior) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """q(z₁ | x)."""
        return self.posterior.top(x, y)


class LeveledPrior(Prior, ABC):
    """p(z) = p(z₁) Π_l p(z_l | z_<l), with any other prior as p(z₁)."""

    def __init__(self, top: Prior) -> None:
        super().__init__()
        if isinstance(top, LeveledPrior):
            raise ValueError("its top is a prior of one level; set it to normal, vamp, mixture, exemplar or flow")
        self.top = top

    def initialise(self, split: Split, seed: int) -> None:
        """Let the top level begin with training images, if it does."""
        self.top.initialise(split, seed)

    @property
    def pseudo_inputs(self) -> Tensor | None:
        """Those of the top level."""
        return self.top.pseudo_inputs

    @abstractmethod
    def below(self, posterior: Posterior) -> Sequence[Level]:
        """p(z_l | z_<l) of the levels below the top."""

    def forward(self, posterior: Posterior) -> Hierarchy:
        """The levels below, under the top level's prior of q(z₁ | x)."""
        return Hierarchy(self.top(TopOf(posterior)), self.below(posterior))


class Upon(Level):
    """p(z_l | z_<l) by two gated layers."""

    def __init__(self, above: int, latent_dim: int, width: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.net = nn.Sequential(GatedLinear(above, width), GatedLinear(width, width))
        self.head = NormalHead(width, latent_dim, bounds)

    def forward(self, above: Tensor, context: Tensor | None = None) -> Independent:
        """z_<l [..., D_<l] -> distribution over z_l [..., D_l]."""
        return self.head(self.net(above))


@register("prior", "two_level", about="a hierarchical prior")
class TwoLevelPrior(LeveledPrior):
    """p(z₁) Π_l p(z_l | z_<l) with `top`, such as vamp or mixture, as p(z₁), and two gated layers for each level below.

    Of the hierarchical VAE of Tomczak & Welling 2018, which has two levels; under a posterior of more it has as many.
    A vamp top is the mixture of q(z₁ | u_k).
    """

    def __init__(
        self,
        levels: tuple[int, ...],
        *,
        top: Annotated[Any, Role("prior", latent_dim="top_dim")] = "normal",
        width: Size = 300,
        log_variance: tuple[float, float] = (-6.0, 2.0),
    ) -> None:
        super().__init__(top)
        if len(levels) < 2:
            raise ValueError(
                f"it has two levels of latents or more; set model.latent_dim=[top, …, bottom], not {list(levels)}"
            )
        above = accumulate(levels)
        self.lower = nn.ModuleList(
            Upon(seen, size, width, log_variance) for seen, size in zip(above, levels[1:], strict=False)
        )

    def below(self, posterior: Posterior) -> Sequence[Level]:
        """p(z_l | z_<l), whatever the posterior."""
        return cast(list[Level], list(self.lower))


@register("prior", "ladder")
class LadderPrior(LeveledPrior):
    """p(z₁) Π_l p(z_l | z_<l), whose way down belongs to the posterior `ladder` (Sønderby et al. 2016).

    `top` may be any prior of the top level.
    """

    def __init__(self, *, top: Annotated[Any, Role("prior", latent_dim="top_dim")] = "normal") -> None:
        super().__init__(top)

    def below(self, posterior: Posterior) -> Sequence[Level]:
        """The posterior's own; ValueError of another posterior."""
        if not posterior.downs:
            raise ValueError(
                "a ladder prior shares its way down with the posterior; set model.posterior=ladder, or of another one "
                "model.prior=two_level"
            )
        return posterior.downs
