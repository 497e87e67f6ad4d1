"""Annealed importance sampling: a stronger check of the log-likelihood, on a few images."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.distributions.estimates import log_mean_exp
from vaelab.distributions.latent import rsample_and_log_prob
from vaelab.distributions.seeds import seeded
from vaelab.io.progress import over
from vaelab.metrics.batches import batches, spread
from vaelab.metrics.likelihood import refuse_pseudo_likelihood, scored
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register

ACCEPTANCE = 0.7  # what the tuning aims at, near the best for HMC (Neal 2011)
COARSE = 4  # the tuning visits every fourth temperature
STEEP = 4.0  # of the sigmoid that spaces the temperatures
FEW = 0.4  # acceptance below which chains hardly move
ABOUT = About(
    "AIS",
    {
        "ais": Value("log p(x) by annealing", "nats", "higher", "log p(x)", rank=2, scores={}),
        "ais_acceptance": Value("Accepted moves of annealing"),
    },
)


@register("metric", "ais", ABOUT)
@torch.no_grad()
def ais(
    model: VAE,
    split: Split,
    *,
    images: Size = 32,
    temperatures: Size = 200,
    chains: Size = 8,
    leapfrog: Size = 5,
    start: Literal["prior", "posterior"] = "posterior",
    seed: Seed = 0,
) -> Measurement:
    """log p(x) of `images` images, evenly spaced, by annealed importance sampling, in nats (Neal 2001; Wu et al. 2017).

        f_β(z) = s(z)^(1−β) (p(x | z) p(z))^β,    w = Π_t f_βt(z_t) / f_βt−1(z_t),    ais = log mean w

    goes from s, the prior or q(z | x), to the joint density in `temperatures` steps; at each, `chains` chains per
    image make one transition of Hamiltonian Monte Carlo with `leapfrog` steps and Metropolis' correction. Step sizes
    come from a pass of their own and are fixed in the one that counts: w is unbiased for p(x), so `ais` is a lower
    bound in expectation, which rises with temperatures and chains. `ais_error` is the standard error over images.
    Raises NotApplicable for what is no likelihood.
    """
    refuse_pseudo_likelihood(model, "annealed importance sampling")
    with seeded(seed, device_of(model)):
        x, y = next(batches(model, spread(split, images), images))
        path = AnnealingPath.of(model, x, y, start)
        betas = sigmoidal(temperatures)
        steps = tuned_steps(path, path.draw(chains), betas, leapfrog)
        log_w, accepted = annealed_weights(path, path.draw(chains), betas, steps, leapfrog)
    estimator = "annealed importance sampling by HMC, step sizes tuned beforehand and fixed"
    protocol = {"images": len(x), "estimator": estimator} | scored(model)
    found = Measurement.over_images({"ais": log_mean_exp(log_w)}, protocol, errors=("ais",))
    found.values["ais_acceptance"] = accepted
    if accepted < FEW:
        found.notes.append(
            f"{accepted:.0%} of the moves were accepted, so that chains hardly moved; raise temperatures or leapfrog"
        )
    return found


class Point(NamedTuple):
    """Where the chains are, with the two log-densities [C, B] that the path mixes, and their gradients [C, B, D]."""

    z: Tensor
    log_start: Tensor
    log_joint: Tensor
    start_gradient: Tensor
    joint_gradient: Tensor

    def log_f(self, beta: float) -> Tensor:
        """log f_β [C, B]."""
        return torch.lerp(self.log_start, self.log_joint, beta)

    def gradient(self, beta: float) -> Tensor:
        """∇ log f_β [C, B, D]."""
        return torch.lerp(self.start_gradient, self.joint_gradient, beta)


@dataclass(frozen=True)
class AnnealingPath:
    """From a distribution that can be sampled to the joint density of a model with images x [B, C, H, W]."""

    model: VAE
    x: Tensor
    y: Tensor | None  # the class of each, where the model sees it
    prior: Distribution
    posterior: Distribution | None  # where the path begins there

    @classmethod
    def of(cls, model: VAE, x: Tensor, y: Tensor | None, start: str) -> "AnnealingPath":
        """Encode x and the prior once; gradients go through the decoder only."""
        return cls(model, x, y, model.p_z(y), model.q_z(x, y) if start == "posterior" else None)

    def draw(self, chains: int) -> Tensor:
        """Places z [C, B, D] of the first distribution."""
        if self.posterior is None:
            return self.prior.sample(torch.Size((chains, len(self.x))[: 2 - len(self.prior.batch_shape)]))
        return rsample_and_log_prob(self.posterior, chains)[0]

    @torch.enable_grad()
    def at(self, z: Tensor) -> Point:
        """Both log-densities at z, and their gradients."""
        z = z.detach().requires_grad_()
        log_start = (self.posterior or self.prior).log_prob(z)
        log_joint = self.model.p_x(z, self.y).log_prob(self.x) + self.prior.log_prob(z)
        gradients = (torch.autograd.grad(v.sum(), z)[0] for v in (log_start, log_joint))
        return Point(z.detach(), log_start.detach(), log_joint.detach(), *gradients)


def sigmoidal(temperatures: int) -> list[float]:
    """β from 0 to 1 in that many steps, small at both ends (Wu et al. 2017)."""
    s = torch.linspace(-STEEP, STEEP, temperatures + 1, dtype=torch.float64).sigmoid()
    return ((s - s[0]) / (s[-1] - s[0])).tolist()


def tuned_steps(path: AnnealingPath, z: Tensor, betas: list[float], leapfrog: int) -> list[Tensor]:
    """A step size per temperature and image [B], by a coarse annealing that adapts to the acceptance as it goes."""
    point, step, found = path.at(z), z.new_full((z.shape[1],), z.shape[2] ** -0.25), []
    for beta in (*betas[COARSE::COARSE], betas[-1]):
        point, accepted = hmc(path, point, beta, step, leapfrog)
        step = step * (accepted.mean(0) - ACCEPTANCE).exp()
        found.append(step)
    return [found[t // COARSE] for t in range(len(betas) - 1)]


def annealed_weights(
    path: AnnealingPath, z: Tensor, betas: list[float], steps: list[Tensor], leapfrog: int
) -> tuple[Tensor, float]:
    """log w of each chain and image [C, B] in float64 on the CPU, and the mean acceptance."""
    point, log_w, rates = path.at(z), torch.zeros(z.shape[:2], dtype=torch.float64), []
    for before, beta, step in over(list(zip(betas, betas[1:], steps, strict=False))):
        log_w += (beta - before) * (point.log_joint - point.log_start).cpu().double()
        point, accepted = hmc(path, point, beta, step, leapfrog)
        rates.append(accepted.mean())
    return log_w, torch.stack(rates).mean().item()


def hmc(path: AnnealingPath, here: Point, beta: float, step: Tensor, leapfrog: int) -> tuple[Point, Tensor]:
    """One transition that leaves f_β invariant, and its probability of acceptance [C, B] (Neal 2011)."""
    momentum, step = torch.randn_like(here.z), step[:, None]
    there, velocity = here, momentum + step / 2 * here.gradient(beta)
    for left in reversed(range(leapfrog)):
        there = path.at(there.z + step * velocity)
        velocity = velocity + step / (1 if left else 2) * there.gradient(beta)
    kinetic = (momentum.square() - velocity.square()).sum(-1) / 2
    chance = (there.log_f(beta) - here.log_f(beta) + kinetic).exp().clamp(max=1).nan_to_num(0)  # nan if it flew off
    move = torch.rand_like(chance) < chance
    pairs = zip(here, there, strict=True)
    return Point(*(torch.where(move if old.dim() == 2 else move[..., None], new, old) for old, new in pairs)), chance
