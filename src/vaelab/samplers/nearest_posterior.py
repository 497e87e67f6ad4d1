"""Draws of the prior, moved to where the encoder has put an image."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.distributions.normal import normal_of
from vaelab.errors import NeedsSampler
from vaelab.model import VAE
from vaelab.registry import register
from vaelab.roles import Unchecked
from vaelab.samplers.fitting import encoded

SCORES = 2**24  # densities log q(z | x) held at once, in float64


@register("sampler", "nearest_posterior")
@torch.no_grad()
def nearest_posterior(model: VAE, split: Split) -> "NearestPosterior":
    """z ~ q(z | x*) with x* = argmax_x log q(u | x) over the training images, at u ~ p(z).

    Such samples stay near training images, so see the metric `memorisation` before praising them; and images count
    by the prior mass near them, not equally, which in many dimensions favours a few with wide posteriors.
    Raises UsageError for posteriors that are not diagonal Gaussians.
    """
    means, scales = [], []
    for start in range(0, len(split), 1000):
        q = normal_of(encoded(model, split[start : start + 1000]))
        if q is None:
            raise NeedsSampler("nearest_posterior needs diagonal Gaussian posteriors", "gmm or flow")
        means.append(q.loc)
        scales.append(q.scale)
    return NearestPosterior(model.p_z(), torch.cat(means), torch.cat(scales))


class NearestPosterior(Unchecked):
    """A mixture of posteriors N(means, scales²) [N, D], weighted by the prior mass nearest to each.

    These weights have no closed form, hence there is no `log_prob`.
    """

    def __init__(self, prior: Distribution, means: Tensor, scales: Tensor) -> None:
        self.prior, self.means, self.scales = prior, means, scales
        mean, precision = self._exact(means), self._exact(scales).pow(-2)
        self._weights = torch.cat([-precision / 2, mean * precision], -1).T
        self._offsets = -(mean.square() * precision - precision.log() + math.log(2 * math.pi)).sum(-1) / 2
        super().__init__(event_shape=means.shape[-1:], validate_args=False)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """z [*sample_shape, D]."""
        with torch.no_grad():
            index = self.nearest(self.prior.sample(torch.Size(sample_shape)))
            return torch.normal(self.means[index], self.scales[index])

    def nearest(self, z: Tensor) -> Tensor:
        """argmax_i log q(z | x_i), one index for each z [..., D]."""
        pieces = z.reshape(-1, z.shape[-1]).split(max(1, SCORES // len(self.means)))
        return torch.cat([self._scores(piece).argmax(-1) for piece in pieces]).reshape(z.shape[:-1]).to(z.device)

    def _scores(self, z: Tensor) -> Tensor:
        """log q(z | x_i) [B, N], the square expanded so that it is one matrix product instead of [B, N, D]."""
        z = self._exact(z)
        return torch.cat([z.square(), z], -1) @ self._weights + self._offsets

    @staticmethod
    def _exact(t: Tensor) -> Tensor:
        """In float64, on the CPU where the device has none."""
        return (t.cpu() if t.device.type == "mps" else t).double()
