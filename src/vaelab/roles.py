"""The roles of a VAE's parts: what each is called with and gives back, and what it may say of itself beside that.

A part derives from its role and overrides what it knows better. z are latents, x images in [0, 1], y their classes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vaelab.data.source import Split
from vaelab.registry import base_of


class Unchecked(Distribution):
    """A distribution whose parameters torch need not check."""

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """None."""
        return {}


class Latent(Unchecked):
    """A distribution over z that knows more of itself than torch's: its place, its classes, how it draws and scores."""

    has_moments: bool = False
    """Whether mean and variance have a closed form."""

    @property
    def location(self) -> Tensor:
        """A point z [*batch, D] that stands for it: the mean, where that has a closed form."""
        return self.mean

    def condition(self, y: Tensor) -> Distribution:
        """p(z | y), where it knows classes."""
        return self

    def rsample_and_log_prob(self, samples: int) -> tuple[Tensor, Tensor]:
        """Reparameterised z [K, *batch, D] and their log-densities [K, *batch], at the cost of a draw."""
        z = self.rsample(torch.Size((samples,)))
        return z, self.log_prob(z)

    def responsibilities(self, value: Tensor) -> Tensor:
        """p(k | z) [..., K] of a mixture's components."""
        raise NotImplementedError(f"{type(self).__name__} is no mixture")


class Level(nn.Module, ABC):
    """`level(above, context) -> Distribution` over z_l, given the levels above it [..., D_<l]."""

    latent_dim: int
    """How many latents it has."""

    @abstractmethod
    def forward(self, above: Tensor, context: Any, /) -> Distribution:
        """p(z_l | z_<l), or q(z_l | x, z_<l) with what all levels see of the image as context."""


@base_of("posterior")
class Posterior(nn.Module, ABC):
    """`posterior(x, y=None) -> Distribution` over z [B, D], reparameterised."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """q(z | x)."""

    def top(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """q(z₁ | x) of the top level alone, where there are levels."""
        raise ValueError("this prior has levels and the posterior has none; set model.posterior to two_level or ladder")

    @property
    def downs(self) -> Sequence[Level]:
        """p(z_l | z_<l) of the levels below the top, where the prior shares them."""
        return ()


@base_of("prior")
class Prior(nn.Module, ABC):
    """`prior(posterior) -> Distribution` over z, called once in a step; weight decay spares its own parameters."""

    @abstractmethod
    def forward(self, posterior: Posterior) -> Distribution:
        """p(z), which may be made of posteriors of images of its own."""

    def initialise(self, split: Split, seed: int) -> None:
        """Begin with training images."""

    @property
    def pseudo_inputs(self) -> Tensor | None:
        """The images [K, C, H, W] whose posteriors it mixes, where it does."""
        return None


class Bijection(Protocol):
    """An invertible map u [..., D] -> z [..., D], with log |det ∂z/∂u| [...] if asked, such as zuko's transforms."""

    @property
    def inv(self) -> "Bijection": ...  # noqa: D102
    def __call__(self, x: Tensor, /) -> Tensor: ...  # noqa: D102
    def call_and_ladj(self, x: Tensor, /) -> tuple[Tensor, Tensor]: ...  # noqa: D102


@base_of("flow")
class Flow(nn.Module, ABC):
    """`flow(context) -> Bijection` from noise u [..., D] to z."""

    context: int = 0
    """The width of the context [..., C] that it takes; 0 for none."""

    @abstractmethod
    def forward(self, context: Tensor | None = None) -> Bijection:
        """The bijection of this context."""


@base_of("likelihood")
class Likelihood(nn.Module, ABC):
    """`likelihood(output) -> Distribution` over x; weight decay spares its own parameters."""

    scores: Literal["mass", "density", "loss"] = "density"
    """Its log_prob: of a probability "mass", of a "density", or a "loss" that is no likelihood."""

    grey_levels: int = 256
    """Values in [0, 1] of a pixel that its mass is spread over; 2 is for binary images alone."""

    bounded: bool = True
    """Whether x and its mean lie in [0, 1]; else they are any real numbers."""

    params_per_channel: int = 1
    """Channels of the decoder's output for each channel of an image."""

    autoregressive: bool = False
    """Whether its mean is drawn, pixel by pixel, and has no gradient."""

    every_stage: bool = False
    """Whether it wants the pictures of all stages of a growing decoder."""

    @abstractmethod
    def forward(self, output: Tensor, /) -> Distribution:
        """p(x | z) of the decoder's output [..., P · C, H, W]."""

    def output_near(self, mean: Tensor) -> Tensor:
        """The decoder's output at which images begin near a mean; within [0, 1] not where the sigmoid is flat."""
        return mean.clamp(0.01, 0.99).logit() if self.bounded else mean


class Growth(nn.Module):
    """The stages of a model that grows, shared by encoder and decoder; told the step by the training, else complete.

    Each works at its resolution for `stage_steps`; a new one fades in, α from 0 to 1, within `fade_steps`.
    """

    def __init__(self, resolutions: list[int], stage_steps: float, fade_steps: int) -> None:
        super().__init__()
        self.resolutions, self.stage_steps, self.fade_steps = resolutions, stage_steps, fade_steps
        self.stages = len(resolutions)
        self.stage, self.fading = self.stages - 1, False
        self.alpha = nn.Buffer(torch.ones(()), persistent=False)  # a tensor, so that a compiled step serves all of them

    def at(self, step: int) -> dict[str, float]:
        """Take on the state of a step, and return it, to be logged."""
        self.stage = min(int(step // self.stage_steps), self.stages - 1)
        since = step - self.began
        self.fading = self.stage > 0 and since < self.fade_steps
        alpha = since / self.fade_steps if self.fading else 1.0
        self.alpha.fill_(alpha)
        return {"resolution": float(self.resolutions[self.stage]), "alpha": alpha}

    @property
    def began(self) -> int:
        """The step in which the present stage began."""
        return math.ceil(self.stage * self.stage_steps)

    @property
    def ends(self) -> float:
        """The step before which it ends; the last stage never does."""
        return math.inf if self.stage == self.stages - 1 else math.ceil((self.stage + 1) * self.stage_steps)

    @property
    def complete(self) -> bool:
        """Whether it is in its last stage, and faded in."""
        return self.stage == self.stages - 1 and not self.fading

    @property
    def settled(self) -> int:
        """The step from which the model is complete."""
        return math.ceil((self.stages - 1) * self.stage_steps) + (self.fade_steps if self.stages > 1 else 0)


class Decoder(nn.Module):
    """`decoder(z) -> output` [N, P · C, H, W] for the likelihood; any module that has no more to say is one, too."""

    def __init__(self, growth: Growth | None = None) -> None:
        super().__init__()
        self.growth = growth

    def observed(self, p: Distribution) -> Distribution:
        """p(x | z) over images of full size, where the likelihood's is of smaller ones."""
        return p


class Terms(NamedTuple):
    """What an objective needs to know of a batch: nats per image, for K samples, B images and D latent dimensions."""

    log_px: Tensor  # [K, B]  log p(x | z)
    log_pz: Tensor  # [K, B]  log p(z)
    log_qz: Tensor  # [K, B]  log q(z | x)
    kl: Tensor | None  # [B, D]  KL(q ‖ p) per latent dimension, where it has a closed form (given the levels above)
    z: Tensor  # [K, B, D]  the draws, for estimators that shape their gradient
    levels: Tensor | None = None  # [L, B]  KL per level of a hierarchy, the top level first

    @property
    def log_w(self) -> Tensor:
        """Importance weights log p(x, z) − log q(z | x) [K, B]."""
        return self.log_px + self.log_pz - self.log_qz

    @property
    def rate(self) -> Tensor:
        """KL(q ‖ p) per image [B]: in closed form where there is one, else the mean over the draws."""
        if self.levels is not None:
            return self.levels.sum(0)
        return (self.log_qz - self.log_pz).mean(0) if self.kl is None else self.kl.sum(-1)

    @property
    def by_level(self) -> dict[str, Tensor]:
        """`kl_1`, `kl_2`, …: the KL per image [B] of each level of a hierarchy, the top level first."""
        return {} if self.levels is None else {f"kl_{n}": kl for n, kl in enumerate(self.levels, 1)}


@base_of("objective")
class Objective(ABC):
    """`objective(terms, step) -> loss, scalars`: a number to minimise, and what to log of it, such as an applied β."""

    samples: int = 1
    """Draws per image."""

    path: bool = False
    """Whether log q must be constant in the encoder's parameters."""

    settled: int = 0
    """The step from which its schedules rest."""

    @abstractmethod
    def __call__(self, terms: Terms, step: float | Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss and the scalars."""

    def bound(self, terms: Terms) -> Tensor:
        """What models are selected by, per image [B]: the ELBO."""
        return terms.log_px.mean(0) - terms.rate
