"""A VAE is a prior, a posterior, a decoder and a likelihood; training one is a function of its `Terms`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.distributions import centre, detached, draws_of, given
from vaelab.distributions.hierarchy import latents_of
from vaelab.nn.conditioning import apply, refuse_unknown
from vaelab.terms import Terms


class VAE(nn.Module):
    """Everything outside the model uses forward, p_z, q_z, p_x, generate and reconstruct, and nothing else.

    A conditional model has `classes`, and takes the class y of each image, int64 [B], wherever it takes images.
    """

    def __init__(
        self, prior: nn.Module, posterior: nn.Module, decoder: nn.Module, likelihood: nn.Module, classes: int = 0
    ) -> None:
        super().__init__()
        self.prior, self.posterior, self.decoder, self.likelihood = prior, posterior, decoder, likelihood
        self.classes = classes

    def forward(self, x: Tensor, y: Tensor | None = None, samples: int = 1, path: bool = False) -> Terms:
        """Terms of images x [B, C, H, W] in [0, 1].

        With `path`, log q(z | x) passes gradients through z alone and not through q's parameters, whose score has
        expectation zero (Roeder et al. 2017).
        """
        q, p = self.q_z(x, y), self.p_z(y)
        z, log_qz, log_pz, kl, levels = latents_of(q, p, samples)
        if path:
            log_qz = detached(q).log_prob(z)
        return Terms(self.p_x(z, y).log_prob(x), log_pz, log_qz, kl, z, levels)

    def p_z(self, y: Tensor | None = None) -> Distribution:
        """The prior over z; of images of class y [B], where the prior sees classes."""
        return given(self.prior(self.posterior), y)

    def q_z(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """The posterior over z [B, D] of images x."""
        return self.posterior(x, y)

    def p_x(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """The likelihood of images given z [..., D]; decoders see one leading dimension, whatever z has."""
        y = None if y is None else y.expand(z.shape[:-1]).flatten()
        output = apply(self.decoder, z.flatten(0, -2), y)
        p = self.likelihood(output.unflatten(0, z.shape[:-1]))
        return self.decoder.observed(p) if hasattr(self.decoder, "observed") else p  # pyright: ignore

    @torch.no_grad()
    def generate(self, n: int, y: Tensor | None = None) -> Tensor:
        """Mean images [n, C, H, W] in [0, 1] of z ~ p(z), or of z ~ p(z | y) for classes y [n]."""
        if self.classes and y is not None:
            refuse_unknown(y, n, self.classes)
        return self.p_x(draws_of(self.p_z(y), n), y).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean images [B, C, H, W] in [0, 1] at the centre of q(z | x), so that two calls agree."""
        if self.classes and y is not None:
            refuse_unknown(y, len(x), self.classes)
        return self.p_x(centre(self.q_z(x, y)), y).mean


def device_of(model: nn.Module) -> torch.device:
    """The device that a model's weights are on."""
    return next(model.parameters()).device


def growth_of(model: nn.Module) -> Any:
    """The part that knows the stages of a model that grows (see `backbones.growth`); None of any other."""
    return next((module for module in model.modules() if hasattr(module, "stage_steps")), None)
