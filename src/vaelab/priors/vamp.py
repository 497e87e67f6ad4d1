"""VampPrior: the mixture of the posteriors of learned pseudo-inputs."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.data.images import to_floats
from vaelab.data.source import Split
from vaelab.distributions.mixture import DiagonalMixture
from vaelab.distributions.pushforward import Pushforward
from vaelab.priors.components import Components, centres, dealt_out, distinct, gaussian_of, running_statistics
from vaelab.registry import Fraction, NonNegative, register
from vaelab.roles import Posterior, Prior


@register("prior", "vamp", about="a VampPrior of {components} pseudo-inputs")
class VampPrior(Prior):
    """p(z) = Σ_k w_k q(z | u_k), with `components` pseudo-inputs u_k in [0, 1] (Tomczak & Welling 2018).

    - `init`: u_k are distinct training images, centres of k-means, or random, N(`mean`, `spread`²) for each pixel;
    - `weights`: w_k = 1 / K, or learned;
    - `of`: where the posterior has a flow, the mixture of whole posteriors, through the flow's inverse, or of their
      Gaussian bases alone. A flow shared by posterior and prior cancels out of the KL.

    Batch normalisation sees pseudo-inputs through the running statistics of the data, in training as in evaluation:
    they never enter the statistics, and the components are the same in both. For a conditional model each u_k has a
    class, and p(z | y) mixes those of that class.
    """

    def __init__(
        self,
        x_shape: tuple[int, int, int],
        classes: int = 0,
        conditional: bool = False,
        *,
        components: Components = 500,
        init: Literal["data", "kmeans", "random"] = "data",
        mean: Fraction = 0.5,
        spread: NonNegative = 0.05,
        weights: Literal["uniform", "learned"] = "uniform",
        of: Literal["posterior", "base"] = "posterior",
    ) -> None:
        super().__init__()
        self.images = nn.Parameter(torch.empty(components, *x_shape))
        self.images.data.normal_().mul_(spread).add_(mean)  # once it is known to fit into memory
        self.log_weights = nn.Parameter(torch.zeros(components)) if weights == "learned" else None
        self.labels = nn.Buffer(dealt_out(components, classes), persistent=False) if classes else None
        self.init, self.of, self.conditional = init, of, conditional

    @torch.no_grad()
    def initialise(self, split: Split, seed: int) -> None:
        """Take the pseudo-inputs from training images; UsageError where there are too few."""
        if self.init == "random":
            return
        choose = distinct if self.init == "data" else centres
        self.images.copy_(to_floats(choose(split, self.labels, len(self.images), seed)))

    @property
    def pseudo_inputs(self) -> Tensor:
        """u [K, C, H, W] in [0, 1]."""
        return _Bounded.apply(self.images)

    def forward(self, posterior: Posterior) -> Distribution:
        """Encode the pseudo-inputs; ValueError for posteriors without a Gaussian base."""
        with running_statistics(posterior):
            q = posterior(self.pseudo_inputs, self.labels)
        mean, std = gaussian_of(q)
        mixture = DiagonalMixture(mean, std, self.log_weights, self.labels if self.conditional else None)
        if self.of == "base" or not isinstance(q, Pushforward):
            return mixture
        if q.context is not None:
            raise ValueError(
                "a flow with context would have to be inverted once for each pseudo-input; "
                "set model.prior.of=base, or leave out the flow's context"
            )
        return Pushforward(mixture, q.flow)


class _Bounded(torch.autograd.Function):
    """Clamp to [0, 1], with a gradient that is stopped only where a step would lead further out: none dies."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        outward = ((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0))
        return gradient.masked_fill(outward, 0)
