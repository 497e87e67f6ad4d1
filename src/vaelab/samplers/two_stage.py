"""A second VAE, of the latents of the first."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vaelab.backbones.mlp import mlp
from vaelab.data.source import Split
from vaelab.distributions.seeds import seeded
from vaelab.model import VAE, device_of
from vaelab.posteriors.gaussian import GaussianPosterior
from vaelab.priors.normal import NormalPrior
from vaelab.registry import Depth, Positive, Seed, Size, register
from vaelab.roles import Likelihood, Unchecked
from vaelab.samplers.fitting import draws, fit, location_and_scale


@register("sampler", "two_stage")
def two_stage(
    model: VAE,
    split: Split,
    *,
    width: Size = 256,
    depth: Depth = 2,
    steps: Size = 2000,
    batch_size: Size = 256,
    lr: Positive = 3e-3,
    seed: Seed = 0,
) -> "TwoStage":
    """z ~ N(decoder(u), γ²) with u ~ N(0, I) and a learned γ, fitted by its ELBO (Dai & Wipf 2019).

    Every step sees fresh posterior draws, standardised; u has as many dimensions as z.
    """
    with seeded(seed, device_of(model)):
        location, scale = location_and_scale(model, split)
        dim = len(location)
        shape = (1, 1, dim)  # a latent vector is an image of one row
        encoder, decoder = mlp(shape, dim, 1, width=width, depth=depth, activation="silu")
        posterior = GaussianPosterior(encoder, shape, dim)
        second = VAE(NormalPrior(dim), posterior, decoder, _LearnedGamma()).to(location.device)
        density = TwoStage(second, location, scale)
        fit(second, lambda z: -density.elbo(z).mean(), draws(model, split, batch_size, steps), steps, lr)
    return density


class TwoStage(Unchecked):
    """Draws pass both stages, noise included; log p(z) is an integral without a closed form, `elbo` bounds it."""

    def __init__(self, second: VAE, location: Tensor, scale: Tensor) -> None:
        self.second, self.location, self.scale = second, location, scale
        super().__init__(event_shape=location.shape, validate_args=False)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """z [*sample_shape, D]."""
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            u = self.second.p_z().sample((shape.numel(),))
            v = self.second.p_x(u).sample()
        return (self.location + self.scale * v.flatten(1)).reshape(shape + self.event_shape)

    def elbo(self, z: Tensor) -> Tensor:
        """A lower bound of log p(z) [B] in nats for z [B, D], by one draw of u."""
        v = ((z - self.location) / self.scale).float()
        terms = self.second(v[:, None, None, :])
        return terms.log_px[0] - terms.rate - self.scale.log().sum()


class _LearnedGamma(Likelihood):
    """N(output, γ²), with all constants: without them γ would only shrink or grow."""

    def __init__(self) -> None:
        super().__init__()
        # From γ = 1, all that a standardised latent varies by, u is never used where images are few.
        self.log_gamma = nn.Parameter(torch.tensor(math.log(0.5)))

    def forward(self, output: Tensor) -> Independent:
        return Independent(Normal(output, self.log_gamma.exp(), validate_args=False), 3, validate_args=False)
