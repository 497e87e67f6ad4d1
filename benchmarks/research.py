"""Seconds and memory per training step of VampAlign and CrossVampVAE: vaelab beside their plain forms."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from plain_forms import Plain, crossvamp, vampalign
from steps import Laps, compare, noise, vaelab
from vaelab.recipe.recipe import Recipe

OURS, PLAIN = "vaelab", "plain form"


@dataclass(frozen=True)
class System:
    """A recipe, its plain form, and the bars: how many times faster, and with which share of the memory."""

    recipe: str
    overrides: tuple[str, ...]
    plain: Callable[[int], Plain]
    loop: Callable[..., Laps]
    components: int
    side: int
    faster: float
    memory: float | None = None  # no bar


def vampalign_loop(model: Plain, batches: DataLoader) -> Laps:
    """Summed squares and the KL, by Adam; two numbers read in every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    while True:
        total = 0.0
        for (x,) in batches:
            optimizer.zero_grad()
            reconstruction, kl = model(x)
            square, rate = (x - reconstruction).square().sum(), kl.sum()
            (square + rate).backward()
            optimizer.step()
            total += square.item() + rate.item()
        yield total


def crossvamp_loop(model: Plain, batches: DataLoader) -> Laps:
    """Absolute errors and the hinge of the KL, by AdamW, clipped; LPIPS is left out."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    while True:
        total = 0.0
        for (x,) in batches:
            optimizer.zero_grad()
            reconstruction, kl = model(x)
            error, rate = 2 * (x - reconstruction).abs().sum() / len(x), kl.mean()
            loss = error + 0.2 * rate.clamp(min=64)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() + error.item() + rate.item()
        yield total


# Of the recipe, what the plain form has too: its way up, and no LPIPS, which would cost both the same.
LIKE_PLAIN = (
    "model.backbone.upsample=transposed",
    *(f"model.likelihood.{option}" for option in ("kind=laplace", "scale=0.5", "learnable=false")),
)
SYSTEMS = {
    "vampalign": System("celeba-vamp-resnet", (), vampalign, vampalign_loop, 1000, 64, 3.5, 0.55),
    "crossvamp": System("cifar10-crossvamp", LIKE_PLAIN, crossvamp, crossvamp_loop, 100, 32, 1.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each (default 5)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--components", type=int, help="pseudo-inputs (default: as published)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for name in options.only:
        beside_plain(name, options.components or SYSTEMS[name].components, options)


def beside_plain(name: str, components: int, options: argparse.Namespace) -> None:
    """Run and print one system, a step in each lap."""
    system, batch = SYSTEMS[name], options.batch
    shape = (3, system.side, system.side)
    sizes = (f"model.prior.components={components}", "model.prior.init=random", f"train.batch_size={batch}")
    recipe = Recipe.read(system.recipe, [*system.overrides, *sizes])
    ours, plain = (millions(model) for model in (recipe.build_model(shape), system.plain(components)))
    print(f"\n{name}, K = {components}, batch {batch}; {ours:.2f} million weights, plain {plain:.2f}", flush=True)
    contenders = {PLAIN: partial(plain_laps, name, components, batch, *shape)}
    contenders[OURS] = partial(vaelab, recipe, batch, *shape)
    peaks = compare(contenders, {OURS: system.faster}, 1, options.rounds, options.threads)
    share = peaks[OURS] / peaks[PLAIN]
    met = (
        "no bar" if system.memory is None else f"bar {system.memory:g} {'met' if share <= system.memory else 'MISSED'}"
    )
    print(f"    peak {share:.2f} of the memory, {met}", flush=True)


def plain_laps(name: str, components: int, *shape: int) -> Laps:
    """The plain loop over float images of a shape [B, C, H, W], one batch."""
    images: Tensor = noise(*shape).float() / 255
    batches = DataLoader(TensorDataset(images), batch_size=shape[0], shuffle=True)
    return SYSTEMS[name].loop(SYSTEMS[name].plain(components), batches)


def millions(model: torch.nn.Module) -> float:
    return sum(p.numel() for p in model.parameters()) / 1e6


if __name__ == "__main__":
    main()
