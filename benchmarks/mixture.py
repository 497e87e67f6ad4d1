"""Speed, memory and error of log p(z) under a mixture of many normals: one matrix product beside the broadcast."""

import argparse
import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from measure import Runner, interleaved, judged, load_average, serve_laps
from vaelab.distributions.mixture import DiagonalMixture

FASTER, SMALLER = 15.0, 25.0  # the bars
CALLS = {"broadcast": 1, "product": 10}  # in one lap
Density = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="timed laps of each (default 7)")
    parser.add_argument("--components", type=int, default=5000)
    parser.add_argument("--latent-dim", type=int, default=40)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    sizes = options.components, options.latent_dim, options.batch
    print(f"K = {sizes[0]}, D = {sizes[1]}, B = {sizes[2]}; {options.threads} threads; load {load_average()}")
    speed_and_memory(sizes, options.rounds, options.threads)
    error(sizes)


def points(components: int, latent_dim: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Components, with log-variances from −4 to 0, and a z from each of the first of them."""
    torch.manual_seed(0)
    mean, log_var = torch.randn(components, latent_dim), 4 * torch.rand(components, latent_dim) - 4
    k = torch.arange(batch) % components
    return torch.normal(mean[k], torch.exp(log_var[k] / 2)), mean, log_var


def broadcast(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log 1/K Σ_k N(z; mean_k, exp(log_var_k)) by a tensor [B, K, D], as the VampPrior's authors and peers write it."""
    square = (z[:, None] - mean) ** 2
    each = (-0.5 * (math.log(2 * math.pi) + log_var + square / torch.exp(log_var))).sum(2)
    return torch.logsumexp(each, 1) - math.log(len(mean))


def product(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """The same by vaelab."""
    return DiagonalMixture(mean, torch.exp(log_var / 2)).log_prob(z)


FORMS: dict[str, Density] = {"broadcast": broadcast, "product": product}


def laps(name: str, sizes: tuple[int, int, int]) -> Iterator[float]:
    """The mean of log-densities that also get gradients; first of few, while torch loads what it needs."""
    for size in itertools.chain([(8, 8, 8)], itertools.repeat(sizes)):
        leaves = [t.requires_grad_() for t in points(*size)]
        total = torch.zeros(())
        for _ in range(CALLS[name]):
            total = FORMS[name](*leaves).sum()
            torch.autograd.grad(total, leaves)
        yield total.item() / len(leaves[0])


def serve(pipe: Any, name: str, sizes: tuple[int, int, int], threads: int) -> None:
    """One contender, in its own process."""
    torch.set_num_threads(threads)
    serve_laps(pipe, laps(name, sizes))


def speed_and_memory(sizes: tuple[int, int, int], rounds: int, threads: int) -> None:
    """Forward and backward, in interleaved rounds; memory is what a process grows by over its first, small lap."""
    runners = {name: Runner(serve, name, sizes, threads) for name in FORMS}
    before = {name: (runner.lap(), runner.peak)[1] for name, runner in runners.items()}
    for runner in runners.values():
        runner.lap()  # pages, caches
    found = [{k: lap.each(CALLS[k]) for k, lap in laps_.items()} for laps_ in interleaved(runners, rounds)]
    grown = {name: runner.peak - before[name] for name, runner in runners.items()}
    for runner in runners.values():
        runner.stop()
    for name in FORMS:
        wall, cpu = (statistics.median(getattr(lap[name], k) for lap in found) * 1e3 for k in ("wall", "cpu"))
        print(f"{name:10}{wall:9.1f} ms{cpu:9.1f} ms CPU{grown[name]:9.1f} MiB")
    print(judged("time", FASTER, *([lap[name] for lap in found] for name in FORMS)))
    ratio = grown["broadcast"] / grown["product"]
    print(f"  memory: bar 1/{SMALLER:g} : 1/{ratio:.1f} {'met' if ratio >= SMALLER else 'MISSED'}")


def error(sizes: tuple[int, int, int]) -> None:
    """The largest error of each in float32, against the broadcast in float64 by pieces."""
    z, mean, log_var = points(*sizes)
    exact = torch.cat([broadcast(piece.double(), mean.double(), log_var.double()) for piece in z.split(16)])
    off = {name: (form(z, mean, log_var) - exact).abs().max().item() for name, form in FORMS.items()}
    met = "met" if off["product"] <= off["broadcast"] else "MISSED"
    print(f"  error : {off['product']:.1e} nats, the broadcast's {off['broadcast']:.1e} {met}")


if __name__ == "__main__":
    main()
