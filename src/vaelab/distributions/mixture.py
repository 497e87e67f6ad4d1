"""Mixtures of diagonal normals, scored by one matrix product."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical

from vaelab.roles import Latent

PAIRS = 2**17  # densities that are held at once: what a CPU's cache holds


class DiagonalMixture(Latent):
    """Σ_k w_k N(mean_k, diag std_k²) over the last dimension, with K components of mean and std [K, D].

    The square is expanded, log N_k(z) = z² · a_k + z · b_k + c_k, so that all pairs are one matrix product, taken in
    pieces, and memory is never that of [B, K, D]. It is centred and in float64: in float32 the cancellation costs up
    to 100 nats. In float64 it costs at most about 2⁻⁴⁹ Σ_d (mean_d − centre_d)² / std_d², centre the mean of all means:
    with 256 dimensions at log std² = −14, .005 nats where they are 100 away from it, and half a nat where 1000.

    Args:
        mean, std: the components [K, D].
        log_weights: unnormalised, [K], or one set for each member of a batch [*batch, K]; uniform if not given.
        labels: the class of each component [K], by which `condition` picks those of one class.
    """

    def __init__(
        self, mean: Tensor, std: Tensor, log_weights: Tensor | None = None, labels: Tensor | None = None
    ) -> None:
        if log_weights is None:
            log_weights = mean.new_zeros(len(mean))
        self.means, self.stds, self.labels = mean, std, labels
        self.log_weights = log_weights.log_softmax(-1)
        self._centre = _exact(mean.detach()).mean(0)
        offset, precision = _exact(mean) - self._centre, _exact(std).pow(-2)
        pull = offset * precision
        constant = (precision.log() - offset * pull - math.log(2 * math.pi)).sum(-1) / 2
        if self.log_weights.dim() == 1:
            constant = constant + _exact(self.log_weights)
        self._coefficients = torch.cat([-precision / 2, pull, constant[:, None]], dim=-1).T
        super().__init__(self.log_weights.shape[:-1], mean.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) [...] of z [..., *batch, D], in nats."""
        if self.batch_shape:
            return self._log_joint(value).logsumexp(-1).to(value)
        points = self._features(value.reshape(-1, value.shape[-1]))
        return _LogSumExpProduct.apply(points, self._coefficients).to(value).view(value.shape[:-1])

    def responsibilities(self, value: Tensor) -> Tensor:
        """p(k | z) [..., K]: which component a point comes from."""
        return self._log_joint(value).softmax(-1).to(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z [*sample_shape, *batch, D]: a component by its weight, then a draw from it."""
        with torch.no_grad():
            k = Categorical(logits=self.log_weights, validate_args=False).sample(torch.Size(sample_shape))
            return torch.normal(self.means[k], self.stds[k])

    def condition(self, y: Tensor) -> "DiagonalMixture":
        """p(z | y) of classes y [B]: the components of that class; the mixture itself where components have none."""
        if self.labels is None:
            return self
        log_weights = self.log_weights.masked_fill(self.labels != y[..., None], -torch.inf)
        return DiagonalMixture(self.means, self.stds, log_weights, self.labels)

    def _log_joint(self, z: Tensor) -> Tensor:
        """log w_k N_k(z) [..., K] in float64."""
        log_joint = self._features(z) @ self._coefficients
        return log_joint + _exact(self.log_weights) if self.batch_shape else log_joint

    def _features(self, z: Tensor) -> Tensor:
        """What the coefficients multiply: z², z and 1 [..., 2 D + 1]."""
        z = _exact(z) - self._centre
        return torch.cat([z.square(), z, torch.ones_like(z[..., :1])], dim=-1)


class _LogSumExpProduct(torch.autograd.Function):
    """log Σ_k exp(a_b · c_k) [B] of a [B, F] and c [F, K], where forward and backward hold `PAIRS` terms at once.

    It has derivatives of every order; those above the first hold all terms.
    """

    @staticmethod
    def forward(ctx, a: Tensor, c: Tensor) -> Tensor:
        total = torch.cat([_exponents(piece, c).logsumexp(-1) for piece in _pieces(a, c)])
        ctx.save_for_backward(a, c, total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        a, c, total = ctx.saved_tensors
        if torch.is_grad_enabled():  # for derivatives of these, all terms at once
            shares = (a @ c - total[:, None]).exp() * gradient[:, None]
            return shares @ c.T, a.T @ shares
        of_a, of_c = torch.empty_like(a), torch.zeros_like(c)
        for piece, log_sum, g, out in zip(*(_pieces(t, c) for t in (a, total, gradient, of_a)), strict=True):
            shares = _exponents(piece, c).sub_(log_sum[:, None]).exp_()
            out.copy_((shares @ c.T) * g[:, None])
            of_c += (shares.T @ (piece * g[:, None])).T
        return of_a, of_c


def _exponents(a: Tensor, c: Tensor) -> Tensor:
    """a_b · c_k [B, K], but never 700 below the largest: terms that small do not count, and denormals are slow."""
    exponents = a @ c
    return exponents.clamp_(min=exponents.amax(-1, keepdim=True) - 700)


def _pieces(t: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    return t.split(max(1, PAIRS // c.shape[1]))


def _exact(t: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none."""
    return (t.cpu() if t.device.type == "mps" else t).double()
