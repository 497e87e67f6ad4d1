"""Milliseconds per training step with a VampPrior of 500 pseudo-inputs: vaelab beside vae_vampprior's loop."""

import argparse
import copy
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from likelihood import PIXELS, Peer, PseudoInputs, log_normal
from steps import Laps, compare, dataset, noise, vaelab
from vaelab.model import VAE
from vaelab.recipe.recipe import Recipe

PLAIN = "vae_vampprior's loop"
FORMS = {
    "vaelab, float32, eager": ["train.precision=float32", "train.compile=false"],
    "vaelab, bfloat16, compiled": ["train.precision=bfloat16", "train.compile=true"],
}
BARS = dict(zip(FORMS, (2.2, 5.0), strict=True))
# The range of the peer written for `likelihood`; β without its warm-up, so that the losses can be compared.
SAME = ["model.posterior.log_variance=[-14, 6]", "objective.beta=1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed laps of each (default 9)")
    parser.add_argument("--steps", type=int, default=50, help="in each lap (default 50)")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    recipe = Recipe.read("static-mnist-vamp", [*SAME, f"train.batch_size={options.batch}"])
    print(
        "VampPrior, gated 300-300, 40 latents; loss of the same weights, images and noise: {:.4f}, {:.4f}".format(
            *losses(recipe)
        )
    )
    shape = options.steps * options.batch, 1, 28, 28
    contenders = {PLAIN: partial(reference, recipe, *shape)}
    contenders |= {name: partial(vaelab, recipe.overridden(form), *shape) for name, form in FORMS.items()}
    compare(contenders, BARS, options.steps, options.rounds, options.threads)


def peer_of(model: VAE) -> Peer:
    """The paper's network with the weights of ours."""
    twin = copy.deepcopy(model)
    twin.prior = PseudoInputs(model.prior.images.detach())  # pyright: ignore
    return Peer(twin)


def bound(peer: Peer, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss, reconstruction term and KL of binary images [B, 784]."""
    p, z, mean, log_var = peer(x)
    p = p.clamp(1e-5, 1 - 1e-5)
    log_px = (x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(1)
    kl = log_normal(z, mean, log_var).sum(1) - peer.log_prior(z)
    return (kl - log_px).mean(), -log_px.mean(), kl.mean()


def reference(recipe: Recipe, *shape: int) -> Laps:
    """The paper's loop: a loader of float images, and three numbers read in every step."""
    images = noise(*shape)
    peer = peer_of(recipe.new_model(dataset(images)))
    optimizer = torch.optim.Adam([*peer.parameters(), *(t for head in peer.heads for t in head)], lr=5e-4)
    set_ = TensorDataset(images.view(-1, PIXELS).float() / 255, torch.zeros(len(images)))
    loader = DataLoader(set_, batch_size=recipe.options["train"]["batch_size"], shuffle=True)
    while True:
        sums = [0.0, 0.0, 0.0]
        for x, _label in loader:
            optimizer.zero_grad()
            terms = bound(peer, x)
            terms[0].backward()
            optimizer.step()
            sums = [total + term.item() for total, term in zip(sums, terms, strict=True)]
        yield sums[0] / len(loader)  # a mean of the epoch, as it prints


def losses(recipe: Recipe) -> tuple[float, float]:
    """Theirs and ours on one batch."""
    images = noise(recipe.options["train"]["batch_size"], 1, 28, 28)
    data = dataset(images)
    model, x = recipe.new_model(data), data.as_float(images)
    peer = peer_of(model)
    torch.manual_seed(0)
    theirs = bound(peer, x.flatten(1))[0]
    torch.manual_seed(0)
    return theirs.item(), recipe.build_training(data)[0](model(x), 0)[0].item()


if __name__ == "__main__":
    main()
