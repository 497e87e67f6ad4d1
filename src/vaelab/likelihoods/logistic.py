"""Discretised logistic likelihood: a probability for each level of grey."""

import math

from torch import Tensor
from torch.distributions import Independent

from vaelab.distributions.pixels import DiscretisedLogistic
from vaelab.registry import register
from vaelab.roles import Likelihood

NARROWEST = -7.0  # log of the scale on 256 levels: 0.23 of a step
BEGINNING = -3.5  # log of the scale where the decoder says 0, however many levels there are


@register("likelihood", "logistic")
class LogisticLikelihood(Likelihood):
    """P(x | z) of 256 levels, or 65,536, location and scale per pixel (Kingma et al. 2016; Salimans et al. 2017).

    A probability, so its bits per dimension compare with those of any other model of images with as many levels,
    those of the data. The log-scale is kept in [−7, 0], on more levels as far below −7 as these are finer, by a smooth
    map, since a clamp would stop its gradient.
    """

    scores = "mass"
    params_per_channel = 2

    def __init__(self, grey_levels: int | None = 256) -> None:
        super().__init__()
        self.grey_levels = grey_levels = grey_levels or 256  # of real values, which only binary images may be
        self.narrowest = NARROWEST - math.log(max(grey_levels - 1, 255) / 255)
        self.shift = math.log(BEGINNING / (self.narrowest - BEGINNING))

    def forward(self, output: Tensor) -> Independent:
        """Decoder output [..., 2C, H, W] -> distribution over x."""
        location, log_scale = output.float().chunk(2, -3)
        log_scale = self.narrowest * (self.shift - log_scale).sigmoid()
        return Independent(DiscretisedLogistic(location.sigmoid(), log_scale, self.grey_levels), 3, validate_args=False)
