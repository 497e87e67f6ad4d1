"""Seconds per test image of the NLL with 5,000 draws: vaelab beside vae_vampprior's loop, interleaved in one run."""

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from measure import Lap, Ratio, Runner, interleaved, load_average, plain, serve_laps, verdict
from vaelab.data.source import Split
from vaelab.metrics.elbo_surgery import log_mixture
from vaelab.metrics.likelihood import likelihood
from vaelab.model import VAE
from vaelab.performance import tune_process
from vaelab.recipe.recipe import Recipe

PIXELS, LATENT, WIDTH, COMPONENTS, REPEATED = 784, 40, 300, 500, 100
GATED = {"latent_dim": LATENT, "backbone": {"kind": "gated_mlp", "width": WIDTH, "depth": 2}}
OURS = {"eager": {}, "compiled": {"precision": "bfloat16", "compile": True}}
TITLES = {"peer": "vae_vampprior's loop", "eager": "vaelab, float32, eager", "compiled": "vaelab, bfloat16, compiled"}
BARS = {"eager": 15.0, "compiled": 35.0}


def main() -> None:
    options = parsed()
    results = {prior: compare(prior, options) for prior in options.priors}
    if options.json:
        facts = {"torch": torch.__version__, "threads": options.threads, "samples": options.samples}
        options.json.write_text(json.dumps(facts | {"results": results}, indent=2, default=plain) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="timed laps of each contender (default 7)")
    parser.add_argument("--samples", type=int, default=5000, help="draws per image, in hundreds (default 5000)")
    parser.add_argument(
        "--images", type=int, default=96, help="images per lap of vaelab (default 96); the peer takes 2"
    )
    parser.add_argument("--priors", nargs="+", choices=("vamp", "normal"), default=["vamp", "normal"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write every lap to this file")
    return parser.parse_args()


class PseudoInputs(nn.Module):
    """A mixture of the posteriors of images, encoded once per call, in vaelab's terms."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = nn.Buffer(images)

    def forward(self, posterior: nn.Module) -> Distribution:
        q = posterior(self.images).base_dist
        return Components(q.mean, q.stddev)


class Components(Distribution):
    """Density of a mixture of diagonal normals with equal weights."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.components = mean, std
        super().__init__(torch.Size(), mean.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return log_mixture(value.flatten(0, -2), *self.components).view(value.shape[:-1])


class Gated(nn.Module):
    """h(x) · σ(g(x)) with two matrix products."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.h, self.g = (nn.Linear(weight.shape[1], len(weight) // 2) for _ in range(2))
        for layer, w, b in zip((self.h, self.g), weight.chunk(2), bias.chunk(2), strict=True):
            layer.weight.data, layer.bias.data = w.clone(), b.clone()

    def forward(self, x: Tensor) -> Tensor:
        return self.h(x) * torch.sigmoid(self.g(x))


class Peer(nn.Module):
    """The VampPrior paper's network and its likelihood loop, written afresh, with the weights of our model."""

    def __init__(self, ours: VAE) -> None:
        super().__init__()
        _, *encoder = ours.posterior.encoder
        *decoder, last, _ = ours.decoder
        self.encoder, self.decoder = (
            nn.Sequential(*(Gated(g.linear.weight.data, g.linear.bias.data) for g in gates))
            for gates in (encoder, decoder)
        )
        self.heads = [
            [t.data.clone().requires_grad_() for t in pair] for pair in zip(*_halves(ours.posterior.head), strict=True)
        ]
        self.last = last
        self.pseudo_inputs = None
        if isinstance(ours.prior, PseudoInputs):  # as there: the weights of a linear layer that sees the identity
            self.pseudo_inputs = nn.Linear(COMPONENTS, PIXELS, bias=False)
            self.pseudo_inputs.weight.data = ours.prior.images.flatten(1).T.clone()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        mean, log_var = (nn.functional.linear(h, *head) for head in self.heads)
        return mean, log_var.clamp(-14, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        mean, log_var = self.encode(x)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        return torch.sigmoid(self.last(self.decoder(z))), z, mean, log_var

    def log_prior(self, z: Tensor) -> Tensor:
        if self.pseudo_inputs is None:
            return log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
        mean, log_var = self.encode(self.pseudo_inputs(torch.eye(COMPONENTS)).clamp(0, 1))
        each = log_normal(z[:, None], mean[None], log_var[None]).sum(2) - math.log(COMPONENTS)
        highest = each.max(1).values
        return highest + torch.log(torch.exp(each - highest[:, None]).sum(1))

    def log_likelihood(self, x: Tensor, samples: int) -> float:
        """Of one image [784]: the whole model on a hundred copies of it, time after time."""
        found = []
        for _ in range(samples // REPEATED):
            copies = x.expand(REPEATED, PIXELS).contiguous()
            p, z, mean, log_var = self(copies)
            p = p.clamp(1e-5, 1 - 1e-5)
            log_px = (copies * torch.log(p) + (1 - copies) * torch.log(1 - p)).sum(1)
            log_w = log_px + self.log_prior(z) - log_normal(z, mean, log_var).sum(1)
            found.append(log_w.data)
        return (torch.cat(found).double().logsumexp(0) - math.log(samples)).item()


def _halves(head: nn.Linear) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return head.weight.chunk(2), head.bias.chunk(2)


def log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * math.pi) + log_var + (z - mean) ** 2 / torch.exp(log_var))


def subject(prior: str, count: int) -> tuple[VAE, Split]:
    """A gated VAE as it is born, and binary images; the time does not depend on either."""
    torch.manual_seed(0)
    model = Recipe("benchmark", {"model": GATED}).build_model((1, 28, 28)).eval()
    if prior == "vamp":
        model.prior = PseudoInputs(torch.rand(COMPONENTS, 1, 28, 28))
    return model, Split((torch.rand(count, 1, 28, 28) < 0.2).byte() * 255)


def laps(name: str, prior: str, images: int, samples: int) -> Iterator[float]:
    """Mean log-likelihood of the images, again and again."""
    model, split = subject(prior, images)
    peer = Peer(model)
    while True:
        if name == "peer":
            yield statistics.fmean(peer.log_likelihood(x.flatten().float() / 255, samples) for x in split.images)
        else:
            yield likelihood(model, split, samples=samples, **OURS[name]).values["iwae"]


def serve(pipe: Any, name: str, prior: str, images: int, samples: int, threads: int) -> None:
    """One contender, in its own process."""
    torch.set_num_threads(threads)
    tune_process()  # as the command line does
    serve_laps(pipe, laps(name, prior, images, samples))


def compare(prior: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run and print one prior."""
    print(f"\ngated VAE, {prior} prior, S = {options.samples}; load average before: {load_average()}", flush=True)
    images = {name: 2 if name == "peer" else options.images for name in TITLES}
    arguments = (options.samples, options.threads)
    runners = {name: Runner(serve, name, prior, images[name], *arguments) for name in TITLES}
    warm = {name: runner.lap()[0] for name, runner in runners.items()}
    rounds = [
        {name: Lap(lap.wall / images[name], lap.cpu / images[name]) for name, lap in round_.items()}
        for round_ in interleaved(runners, options.rounds)
    ]
    means = {name: runner.lap()[1] for name, runner in runners.items()}
    for runner in runners.values():
        runner.stop()
    print(f"{'':28}{'ms/image':>10}{'CPU ms':>9}{'warm-up':>9}{'log p(x)':>10}")
    for name, title in TITLES.items():
        wall, cpu = (statistics.median(getattr(r[name], k) for r in rounds) * 1e3 for k in ("wall", "cpu"))
        print(f"{title:28}{wall:10.1f}{cpu:9.1f}{warm[name].wall:8.1f}s{means[name]:10.1f}")
    return {"laps": rounds, "log_px": means} | {name: judge(name, prior, rounds) for name in OURS}


def judge(name: str, prior: str, rounds: list[dict[str, Lap]]) -> dict[str, Any]:
    """The bar is for the VampPrior, as the peer runs it; with a normal prior there is less to save."""
    wall, cpu = (
        Ratio.of([getattr(r["peer"], k) for r in rounds], [getattr(r[name], k) for r in rounds])
        for k in ("wall", "cpu")
    )
    text = verdict(BARS[name], wall) if prior == "vamp" else "no bar"
    print(f"  {TITLES[name]} : {text}   [wall {wall}, CPU {cpu}]", flush=True)
    return {"wall": wall, "cpu": cpu, "verdict": text}


if __name__ == "__main__":
    main()
