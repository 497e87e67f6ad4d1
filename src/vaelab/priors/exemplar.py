"""Exemplar prior: a mixture around the latents of training images."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vaelab.data.source import Split
from vaelab.distributions.mixture import DiagonalMixture
from vaelab.priors.components import Components, dealt_out, distinct, gaussian_of, running_statistics
from vaelab.registry import Positive, register
from vaelab.roles import Posterior, Prior


@register("prior", "exemplar", about="an exemplar prior of {components} images")
class ExemplarPrior(Prior):
    """p(z) = 1/N Σ_n N(mean(x_n), σ² I), with N = `components` training images and one learned σ (Norouzi et al. 2020).

    The exemplars are kept in the model file, in the training images' own type. A training step sees `per_step` of them,
    drawn anew and from every class, as an unbiased estimate of the sum. Where the images of a step are themselves
    exemplars they meet themselves, which happens to a share of `per_step` / training images; the paper leaves them out.
    """

    def __init__(
        self,
        x_shape: tuple[int, int, int],
        classes: int = 0,
        conditional: bool = False,
        *,
        components: Components = 1000,
        per_step: Components = 250,
        sigma: Positive = 0.5,
    ) -> None:
        super().__init__()
        if max(classes, 1) > per_step or per_step > components:
            raise ValueError(
                f"per_step must be at most components and at least the number of classes, {max(classes, 1)}; "
                f"it is {per_step} of {components}"
            )
        self.exemplars = nn.Buffer(torch.randint(256, (components, *x_shape), dtype=torch.uint8))
        self.labels = nn.Buffer(dealt_out(components, classes), persistent=False) if classes else None
        self.log_std = nn.Parameter(torch.tensor(math.log(sigma)))
        self.per_step, self.classes, self.conditional = per_step, max(classes, 1), conditional
        self.register_load_state_dict_pre_hook(_take_type)

    @torch.no_grad()
    def initialise(self, split: Split, seed: int) -> None:
        """Choose distinct training images; UsageError where there are too few."""
        self.exemplars = distinct(split, self.labels, len(self.exemplars), seed).to(self.exemplars.device)

    @property
    def pseudo_inputs(self) -> Tensor:
        """The exemplars [N, C, H, W] in [0, 1]."""
        return self._as_input(self.exemplars)

    def forward(self, posterior: Posterior) -> DiagonalMixture:
        """Encode the exemplars; ValueError for posteriors without a Gaussian base."""
        chosen = self._drawn() if self.training else slice(None)
        labels = None if self.labels is None else self.labels[chosen]
        with running_statistics(posterior):
            mean, _ = gaussian_of(posterior(self._as_input(self.exemplars[chosen]), labels))
        std = self.log_std.exp().expand_as(mean)
        log_weights = self._log_weights().to(mean) if self.training else None
        return DiagonalMixture(mean, std, log_weights, labels if self.conditional else None)

    def _as_input(self, images: Tensor) -> Tensor:
        x = images.to(self.log_std)
        return x if images.is_floating_point() else x / 255

    def _log_weights(self) -> Tensor:
        """Unnormalised, of a step's exemplars: each is one of a few that stand for all of its class."""
        label = torch.arange(self.per_step, device=self.exemplars.device) % self.classes
        drawn, kept = ((n - 1 - label) // self.classes + 1 for n in (self.per_step, len(self.exemplars)))
        return (kept / drawn).log()

    def _drawn(self) -> Tensor:
        """Row numbers of a step's exemplars, at random, the classes by turns, so that none is empty."""
        rounds, device = -(-len(self.exemplars) // self.classes), self.exemplars.device
        keys = torch.rand(rounds, self.classes, device=device)
        keys.view(-1)[len(self.exemplars) :] = 2.0  # of the last round, where it is not whole: behind all others
        rows = keys.argsort(0) * self.classes + torch.arange(self.classes, device=device)
        return rows.flatten()[: self.per_step]


def _take_type(prior: ExemplarPrior, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Let a prior have exemplars of the type that is loaded: uint8, or floats of a set of more than 8 bits."""
    if (stored := state.get(f"{prefix}exemplars")) is not None:
        prior.exemplars = prior.exemplars.to(stored.dtype)
