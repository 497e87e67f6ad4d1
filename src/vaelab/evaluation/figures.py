"""The figures that a model and its data allow: gathers their arrays, through the model's public methods only."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution, Independent

from vaelab.data.source import Dataset, Split
from vaelab.distributions import centre, diagonal_normal, given, kl_per_dimension
from vaelab.distributions.hierarchy import Hierarchy
from vaelab.distributions.seeds import seeded
from vaelab.errors import UsageError
from vaelab.figures.aggregate_posterior import aggregate_posterior
from vaelab.figures.by_class import by_class
from vaelab.figures.columns import columns
from vaelab.figures.convergence import convergence
from vaelab.figures.generated_samples import generated_samples
from vaelab.figures.interpolations import interpolations
from vaelab.figures.kl_ratio import kl_ratio
from vaelab.figures.latent_space import latent_space
from vaelab.figures.level_kl import level_kl
from vaelab.figures.level_traversals import level_traversals
from vaelab.figures.manifold import manifold
from vaelab.figures.needs import NEEDS
from vaelab.figures.pseudo_inputs import pseudo_inputs
from vaelab.figures.reconstructions import reconstructions
from vaelab.figures.stages import stages
from vaelab.figures.style import save
from vaelab.figures.timeline import timeline
from vaelab.figures.training_losses import training_losses
from vaelab.figures.traversals import traversals
from vaelab.metrics.aggregate import drawn_from_both
from vaelab.metrics.batches import batches
from vaelab.model import VAE, device_of
from vaelab.registry import hint
from vaelab.runs.results import Results
from vaelab.samplers.drawing import images

SEED = 0  # every drawing of a model shows the same noise
SHOWN = {
    "reconstructions": 20,
    "samples": 64,
    "latents": 5000,
    "dimensions": 10,
    "pairs": 8,
    "side": 20,
    "class": 12,
    "redrawn": 3,
}


@torch.no_grad()
def samples(model: VAE, title: str = "Generated samples") -> Figure:
    """Mean images of z ~ p(z), of a conditional model of all classes in turn."""
    return generated_samples(images(model, model.p_z(), SHOWN["samples"], SEED), title=title)


@torch.no_grad()
def pairs(model: VAE, split: Split, title: str = "Reconstructions") -> Figure:
    """The first images of a split above their reconstructions."""
    x, y = next(batches(model, split, SHOWN["reconstructions"]))
    return reconstructions(x.cpu(), model.reconstruct(x, y).cpu(), title=title)


@torch.no_grad()
def latents(model: VAE, data: Dataset) -> Figure:
    """Posterior means of test images, by class."""
    shown = data.test[: SHOWN["latents"]]
    means = torch.cat([centre(model.q_z(x, y)).cpu() for x, y in batches(model, shown)])
    return latent_space(means, shown.labels, data.classes)


def aggregate(model: VAE, split: Split) -> Figure:
    """One draw of q(z | x) per image, against draws of the prior: those that the metric `aggregate` measures."""
    with seeded(SEED, device_of(model)):
        return aggregate_posterior(*drawn_from_both(model, split))


@torch.no_grad()
def plane(model: VAE) -> Figure:
    """Images decoded over a grid in a two-dimensional latent."""
    side, extent = SHOWN["side"], 2.5
    z1, z2 = torch.linspace(-extent, extent, side), torch.linspace(extent, -extent, side)
    grid = torch.stack(torch.meshgrid(z1, z2, indexing="xy"), -1).flatten(0, 1)
    return manifold(_decoded(model, grid), side, extent=extent)


@torch.no_grad()
def walks(model: VAE, split: Split) -> Figure:
    """One image's latent, one dimension moved at a time: those of the largest KL, or else spread, in units of it."""
    x, y = next(batches(model, split))
    q = model.q_z(x, y)
    with seeded(SEED, device_of(model)):  # whose spread is the unit: a learned prior leaves the scale of latents free
        codes = q.sample(torch.Size([8])).flatten(0, 1).cpu()
    means, kl = centre(q), kl_per_dimension(q, model.p_z(y))
    ranked = (means.var(0) if kl is None else kl.mean(0)).argsort(descending=True)[: SHOWN["dimensions"]]
    values = torch.arange(-5, 6) * 0.6  # −3 … 3, and exactly 0 in the middle
    z = means[0].cpu().repeat(len(ranked), len(values), 1)
    for row, dimension in enumerate(ranked.tolist()):
        z[row, :, dimension] = codes[:, dimension].mean() + values * codes[:, dimension].std()
    nats = None if kl is None else kl.mean(0)[ranked].cpu()
    shown, names = _decoded(model, z, None if y is None else y[0]), (ranked + 1).tolist()
    return traversals(shown, values, names, nats, note="In standard deviations of all codes, from their mean.")


@torch.no_grad()
def paths(model: VAE, split: Split) -> Figure:
    """Straight lines between the latents of pairs of images."""
    x, y = next(batches(model, split, 2 * SHOWN["pairs"]))
    means = centre(model.q_z(x, y)).cpu()
    start, end = means[: len(means) // 2, None], means[len(means) // 2 : len(means) // 2 * 2, None]
    y = None if y is None else y[: len(start), None]  # the class of the first of a pair, all the way
    return interpolations(_decoded(model, torch.lerp(start, end, torch.linspace(0, 1, 11)[:, None]), y))


@torch.no_grad()
def inputs(model: VAE, split: Split, title: str = "Pseudo-inputs") -> Figure:
    """What a mixture prior is made of, and how often each component is the likeliest for a draw of q(z | x)."""
    p, wins = model.p_z(), []
    with seeded(SEED, device_of(model)):
        for x, y in batches(model, split[: SHOWN["latents"]]):
            wins.append(given(p, y).responsibilities(model.q_z(x, y).sample()).argmax(-1))  # pyright: ignore
    pictures: Tensor = model.prior.pseudo_inputs  # pyright: ignore[reportAssignmentType]
    share = torch.cat(wins).bincount(minlength=len(pictures)).double() / sum(map(len, wins))
    return pseudo_inputs(pictures.cpu(), share.cpu(), title=title)


@torch.no_grad()
def priors(model: VAE) -> Figure:
    """Mean images of the model's prior, beside those of N(0, I), which its decoder was not trained for."""
    p = model.p_z()
    z = torch.zeros(p.event_shape, device=device_of(model))
    drawn = {"z ~ p(z), as learned": p, "z ~ N(0, I)": diagonal_normal(z, z)}
    pictures = {name: images(model, p, SHOWN["samples"], SEED) for name, p in drawn.items()}
    return columns(pictures, title="Samples of the prior")


@torch.no_grad()
def classes(model: VAE, names: Sequence[str]) -> Figure:
    """Mean images of each class, a row for each."""
    across = SHOWN["class"]
    labels = torch.arange(len(names)).repeat_interleave(across)
    drawn = images(model, model.p_z(), len(labels), SEED, labels=labels)
    return by_class(drawn.unflatten(0, (len(names), across)), names, title="Samples of each class")


def leveled(model: VAE, split: Split) -> bool:
    """Whether the latents have levels."""
    return isinstance(model.q_z(*next(batches(model, split, 1))), Hierarchy)


@torch.no_grad()
def redrawn(model: VAE, split: Split) -> Figure:
    """Images with one level of their latents drawn anew from the prior, given those above."""
    x, y = next(batches(model, split, SHOWN["redrawn"]))
    q = model.q_z(x, y)
    assert isinstance(q, Hierarchy)
    z, across = centre(q), SHOWN["class"]
    with seeded(SEED, device_of(model)):
        levels = [_anew(model.p_z(y), q.sizes, z, level, across) for level in range(len(q.sizes))]
    drawn = torch.stack(levels, 2)  # [N, R, L]
    decoded = _decoded(model, drawn, None if y is None else y[:, None])
    return level_traversals(x.cpu(), model.reconstruct(x, y).cpu(), decoded.movedim(0, 2))


def _anew(p: Distribution, sizes: list[int], z: Tensor, level: int, count: int) -> Tensor:
    """Latents [N, R, D] as z [R, D], but for one level drawn from p, and those below at the means that follow."""
    first = sum(sizes[:level])
    z = z.expand(count, *z.shape)
    if not isinstance(p, Hierarchy):
        anew = p.sample(z.shape[: z.dim() - 1 - len(p.batch_shape)])
        return torch.cat([z[..., :first], anew[..., first : first + sizes[level]], z[..., first + sizes[level] :]], -1)
    if level == 0:
        return p.below(p.top.sample(z.shape[: z.dim() - 1 - len(p.batch_shape)]), mean=True)
    above = z[..., :first]
    return p.below(torch.cat([above, p.steps[level - 1](above, p.context).sample()], -1), level + 1, mean=True)


def of_log(
    rows: list[dict[str, Any]], grown: Mapping[str, Tensor] | None = None, bound: str = "−bound"
) -> dict[str, Callable[[], Figure]]:
    """Every figure that a log and the samples of stages allow; `bound` is what the validation loss is called."""
    allowed: dict[str, Callable[[], Figure]] = {}
    if rows:
        allowed |= {"training_losses": lambda: training_losses(rows, bound=bound), "kl_ratio": lambda: kl_ratio(rows)}
    if any("resolution" in row for row in rows):
        allowed["timeline"] = lambda: timeline(rows, bound=bound)
    if grown:
        allowed["stages"] = lambda: stages(grown)
    if any("kl_1" in row for row in rows):
        allowed["level_kl"] = lambda: level_kl(rows)
    return allowed


def figures(
    model: VAE,
    data: Dataset,
    rows: list[dict[str, Any]],
    results: Results | None = None,
    grown: Mapping[str, Tensor] | None = None,
    bound: str = "",
) -> dict[str, Callable[[], Figure]]:
    """Every figure that this model, data, log, entries of metrics.json and samples of stages allow, by name.

    `bound` is what the validation loss is called; without it, what the model itself can tell.
    """
    bound = bound or ("−bound" if getattr(model.likelihood, "is_likelihood", True) else "loss at β = 1")
    latent_dim, allowed = model.p_z().event_shape[0], of_log(rows, grown, bound)
    allowed |= {"generated_samples": lambda: samples(model), "reconstructions": lambda: pairs(model, data.test)}
    allowed |= {"latent_space": lambda: latents(model, data), "traversals": lambda: walks(model, data.test)}
    if hasattr(model.prior, "pseudo_inputs"):
        allowed["pseudo_inputs"] = lambda: inputs(model, data.test)
    if not isinstance(model.p_z(), Independent):
        allowed["prior_samples"] = lambda: priors(model)
    if model.classes:
        allowed["classes"] = lambda: classes(model, data.classes or [str(i) for i in range(model.classes)])
    if leveled(model, data.test):
        allowed["level_traversals"] = lambda: redrawn(model, data.test)
    allowed["aggregate_posterior"] = lambda: aggregate(model, data.test)
    draws = results.curve("likelihood", "iwae") if results else []
    if len(draws) > 1:
        allowed["convergence"] = lambda: convergence(draws)
    if len(data.test) > 1:
        allowed["interpolations"] = lambda: paths(model, data.test)
    if latent_dim == 2 and not model.classes:
        allowed["manifold"] = lambda: plane(model)
    return allowed


def draw(allowed: Mapping[str, Callable[[], Figure]], folder: Path, only: Iterable[str] = ()) -> Iterator[Path]:
    """Draw all allowed figures, or those asked for, as PNG files in a folder."""
    chosen = list(only) or list(allowed)
    for name in chosen:
        if name not in allowed:
            why = f"it needs {NEEDS[name]}" if name in NEEDS else hint(name, list(allowed))
            raise UsageError(f"figure {name!r} cannot be drawn of this run; {why}")
    for name in chosen:
        yield save(allowed[name](), folder / f"{name}.png")


def _decoded(model: VAE, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Mean images of latents [..., D], and of classes that broadcast to [...] if the model sees them."""
    device, rows = device_of(model), z.flatten(0, -2).split(1000)
    classes = [None] * len(rows) if y is None else y.expand(z.shape[:-1]).flatten().split(1000)
    parts = [
        model.p_x(part.to(device), None if c is None else c.to(device)).mean.cpu()
        for part, c in zip(rows, classes, strict=True)
    ]
    return torch.cat(parts).unflatten(0, z.shape[:-1])
