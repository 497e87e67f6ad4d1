"""The prior of a ladder VAE."""

from collections.abc import Sequence
from typing import Annotated, Any

from vaelab.priors.two_level import LeveledPrior
from vaelab.registry import Role, register
from vaelab.roles import Level, Posterior


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
