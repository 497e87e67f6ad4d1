"""Discretised logistic likelihood: a probability for each of 256 grey levels."""

from torch import Tensor
from torch.distributions import Independent

from vaelab.distributions.pixels import DiscretisedLogistic
from vaelab.registry import register
from vaelab.roles import Likelihood


@register("likelihood", "logistic")
class LogisticLikelihood(Likelihood):
    """P(x | z) of 8-bit images, location and scale per pixel (Kingma et al. 2016; Salimans et al. 2017).

    A probability, so its bits per dimension compare with those of any other model of 8-bit images. The log-scale is
    kept in [−7, 0] by a smooth map, since a clamp would stop its gradient.
    """

    scores = "mass"
    params_per_channel = 2

    def forward(self, output: Tensor) -> Independent:
        """Decoder output [..., 2C, H, W] -> distribution over x."""
        location, log_scale = output.float().chunk(2, -3)
        base = DiscretisedLogistic(location.sigmoid(), -7 * (-log_scale).sigmoid())
        return Independent(base, 3, validate_args=False)
