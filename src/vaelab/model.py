"""A VAE is a prior, a posterior, a decoder and a likelihood; training one is a function of its `Terms`."""

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.data.scale import EIGHT_BIT
from vaelab.distributions.hierarchy import rsample_scored
from vaelab.distributions.latent import condition, constant, detached, location, sample_n
from vaelab.nn.conditioning import apply, refuse_unknown
from vaelab.roles import Decoder, Growth, Latent, Likelihood, Posterior, Prior, Terms


class VAE(nn.Module):
    """Everything outside asks the model, and never its parts.

    Its images x are stored values by its `scale`, which is that of the set it was trained on.

    A conditional model has `classes`, and takes the class y of each image, int64 [B], wherever it takes images.
    """

    def __init__(
        self, prior: Prior, posterior: Posterior, decoder: nn.Module, likelihood: Likelihood, classes: int = 0
    ) -> None:
        super().__init__()
        self.prior, self.posterior, self.decoder, self.likelihood = prior, posterior, decoder, likelihood
        self.classes, self.scale = classes, EIGHT_BIT

    def forward(self, x: Tensor, y: Tensor | None = None, samples: int = 1, path: bool = False) -> Terms:
        """Terms of images x [B, C, H, W] in [0, 1].

        With `path`, log q(z | x) passes gradients through z alone and not through q's parameters, whose score has
        expectation zero (Roeder et al. 2017).
        """
        q, p = self.q_z(x, y), self.p_z(y)
        z, log_qz, log_pz, kl, levels = rsample_scored(q, p, samples)
        if path:
            with constant(self) if isinstance(q, Latent) else nullcontext():  # others hold tensors alone
                log_qz = detached(q).log_prob(z)
        return Terms(self.p_x(z, y).log_prob(x), log_pz, log_qz, kl, z, levels)

    def p_z(self, y: Tensor | None = None) -> Distribution:
        """The prior over z; of images of class y [B], where the prior sees classes."""
        return condition(self.prior(self.posterior), y)

    def q_z(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """The posterior over z [B, D] of images x."""
        return self.posterior(x, y)

    def p_x(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """The likelihood of images given z [..., D]; decoders see one leading dimension, whatever z has."""
        y = None if y is None else y.expand(z.shape[:-1]).flatten()
        output = apply(self.decoder, z.flatten(0, -2), y)
        p = self.likelihood(output.unflatten(0, z.shape[:-1]))
        return self.decoder.observed(p) if isinstance(self.decoder, Decoder) else p

    @torch.no_grad()
    def generate(
        self,
        n: int,
        y: Tensor | None = None,
        *,
        latents: Distribution | None = None,
        pixels: Literal["mean", "sample"] = "mean",
    ) -> Tensor:
        """Images [n, C, H, W] in [0, 1] of z ~ p(z), or of z ~ p(z | y) for classes y [n].

        Another distribution over the latents may take the prior's place. Images are the means of p(x | z), or samples.
        """
        if self.classes and y is not None:
            refuse_unknown(y, n, self.classes)
        p = self.p_x(sample_n(self.p_z(y) if latents is None else condition(latents, y), n), y)
        return p.mean if pixels == "mean" else p.sample()

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean images [B, C, H, W] in [0, 1] at the location of q(z | x), so that two calls agree."""
        if self.classes and y is not None:
            refuse_unknown(y, len(x), self.classes)
        return self.p_x(location(self.q_z(x, y)), y).mean

    @property
    def scores(self) -> Literal["mass", "density", "loss"]:
        """What log p(x | z) is: of a probability "mass", of a "density", or a "loss" that is no likelihood."""
        return self.likelihood.scores

    @property
    def binary(self) -> bool:
        """Whether log p(x | z) is a log-likelihood of binary images alone."""
        return self.scores == "mass" and self.likelihood.grey_levels == 2

    @property
    def pseudo_inputs(self) -> Tensor | None:
        """The images [K, C, H, W] whose posteriors the prior mixes, where it does."""
        return self.prior.pseudo_inputs

    @property
    def growth(self) -> Growth | None:
        """The stages of a model that grows; None of any other."""
        return self.decoder.growth if isinstance(self.decoder, Decoder) else None

    def undecayed(self) -> list[nn.Parameter]:
        """The parameters that weight decay spares: those that a prior or a likelihood has outside its networks."""
        parts = [part for part in self.modules() if isinstance(part, Prior | Likelihood)]
        return [parameter for part in parts for parameter in part.parameters(recurse=False)]


def device_of(model: nn.Module) -> torch.device:
    """The device that a model's weights are on."""
    return next(model.parameters()).device
