"""Bounds on the log-likelihood of held-out images, at β = 1."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.scale import EIGHT_BIT
from vaelab.data.source import Split
from vaelab.data.stored import Images
from vaelab.distributions.estimates import log_mean_exp
from vaelab.distributions.hierarchy import rsample_scored
from vaelab.distributions.latent import condition
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.metrics.batches import batches, spread
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register
from vaelab.roles import Terms

BYTES = {"cpu": 2**23, "other": 2**30}  # for the images decoded at once: on a CPU what its cache holds
STEPS = {"density": "levels"}  # in bits a density is that of the steps between levels
FEW = 10  # draws that carry the mean, below which it is worth little
ABOUT = About(
    "Likelihood",
    {
        "elbo": Value("ELBO", "nats", "higher", "bound on log p(x)", rank=1, scores={}),
        "log_px": Value("Reconstruction term log p(x | z)", "nats", "higher", scores={}),
        "kl": Value("KL", "nats", meaning="what a code tells", rank=4),
        "kl_1": Value("KL of level 1 (top)", "nats"),
        "kl_*": Value("KL of level *", "nats"),
        "iwae": Value("Importance-weighted bound", "nats", "higher", tile="IWAE bound", scores={}),
        "iwae_gain": Value("Gain of the importance-weighted bound", "nats"),
        "ess": Value("Effective sample size", "draws"),
        "bits_per_dim": Value("Bits per dimension", "bits", "lower", "to store a pixel", rank=3, scores=STEPS),
    },
    quick=True,
    elsewhere={
        "nll": "likelihood and ais bound it: −iwae and −ais are upper bounds",
        "bpd": "likelihood has it as bits_per_dim",
    },
)


@register("metric", "likelihood", ABOUT)
@torch.no_grad()
def likelihood(
    model: VAE,
    split: Split,
    *,
    samples: Size = 100,
    seed: Seed = 0,
    images: Size | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    compile: bool = False,
) -> Measurement:
    """ELBO with its two terms and the IWAE bound L_S with S = `samples` draws, in nats per image.

        elbo = log_px − kl,    iwae = L_S = log 1/S Σ w,  w = p(x | z) p(z) / q(z | x),  z ~ q(z | x)

    (Burda et al. 2016), over `images` images, evenly spaced, or all. `ess` = (Σ w)² / Σ w² counts the draws that carry
    the mean; `iwae_gain` is L_S − L_{S/2}, about what is still missing. `*_error` is the standard error over images.
    `bits_per_dim` is −iwae / (C·H·W·log 2); for a density that of `dequantised` images + log₂ L, with L the levels of
    the images' scale (256 of 8 bits), an upper bound of the bits that their values take (Theis et al. 2016). Of real
    values a density has none, and nats are those of x = (value − low) / (high − low), by the scale in the protocol:
    log p(values) = log p(x) − C·H·W·log(high − low). The curve `iwae` is L_s against s, the mean
    over disjoint blocks of s of the same draws, so each point is unbiased for its bound. Draws do not see where q has
    no mass: a flat curve is no proof, `ais` is the stronger check.

    `precision` is the decoder network's, probabilities are float32 and weights float64; `compile` pays from about
    1,000 images × 5,000 draws on. Log-weights are kept [S, B] for the curve; images never are.
    Raises NotApplicable for what is no likelihood.
    """
    refuse_pseudo_likelihood(model, "NLL and bits per dimension")
    score = _scorer(model, precision, compile)
    chosen, p = spread(split, images), model.p_z()
    rows = _rows(model, chosen.images, precision, compile)
    levels = model.scale.levels if model.scores == "density" else None
    noise = torch.Generator().manual_seed(seed)
    with seeded(seed, device_of(model)):
        found = [
            _bounds(model, p, score, (x, dequantised(x, levels, noise)) if levels else (x,), y, samples, rows)
            for x, y in batches(model, chosen, rows // samples)
        ]
    columns = {name: torch.cat([c[name] for c, _ in found]) for name in found[0][0]}
    if levels:
        columns["bits_per_dim"] += math.log2(levels)
    elif model.scores == "density":
        del columns["bits_per_dim"]
    curve = torch.cat([bounds for _, bounds in found], dim=1).mean(1)
    estimator = f"importance sampling, {samples} draws of q(z | x) per image"
    protocol = {"images": len(chosen), "estimator": estimator} | scored(model)
    measured = Measurement.over_images(columns, protocol, errors=("elbo", "iwae"))
    measured.curves["iwae"] = list(zip(map(float, ladder(samples)), curve.tolist(), strict=True))
    measured.notes.extend(_doubts(measured.values, samples))
    if "bits_per_dim" not in columns:
        measured.notes.append(
            "the images have real values, of which a density has no bits per dimension; compare nats, on one scale"
        )
    return measured


def scored(model: VAE) -> dict[str, Any]:
    """For a protocol: of what p(x | z) is, and that a conditional model scores log p(x | y), which is no log p(x).

    With the scale of x, unless that is of 8-bit images.
    """
    of, scale = "binary" if model.binary else {"mass": "levels"}.get(model.scores, "density"), model.scale
    found: dict[str, Any] = {"scores": of} | ({"given": "the class of each image"} if model.classes else {})
    if scale != EIGHT_BIT:
        found["scale"] = {"low": scale.low, "high": scale.high, "levels": scale.levels}
    return found


def refuse_pseudo_likelihood(model: VAE, withheld: str) -> None:
    """Raises NotApplicable where what the model scores is a loss, such as a perceptual one.

    Likewise while the model still grows, and scores smaller images.
    """
    growth = model.growth
    if growth and not growth.complete:
        raise NotApplicable(f"the model still grows and scores smaller images, which withholds {withheld}")
    if model.scores == "loss":
        raise NotApplicable(
            f"{type(model.likelihood).__name__} is no density of images, which withholds {withheld}; "
            "judge reconstructions and samples, or train with a likelihood such as bernoulli or normal"
        )


def dequantised(x: Tensor, levels: int, noise: torch.Generator) -> Tensor:
    """((L − 1) x + u) / L with u ~ U[0, 1): a density's values on cells of 1/L, one for each of L levels of x.

    In float32 cells of 1/65,536 still have 256 values or more.
    """
    return ((levels - 1) * x + torch.rand(x.shape, generator=noise).to(x)) / levels


def ladder(samples: int) -> list[int]:
    """1, 2, 5, 10, 20, … and `samples` itself."""
    steps = (m * 10**e for e in range(len(str(samples))) for m in (1, 2, 5))
    return [s for s in steps if s < samples] + [samples]


def level(log_w: Tensor, size: int) -> Tensor:
    """L_size per image [B]: the mean over disjoint blocks of the log of the mean weight of log_w [S, B]."""
    blocks = log_w[: len(log_w) // size * size].unflatten(0, (-1, size))
    return log_mean_exp(blocks.transpose(0, 1)).mean(0)


def _rows(model: VAE, images: Tensor | Images, precision: str, compiled: bool) -> int:
    """Images × draws that are decoded at once; scored eagerly, they leave two float32 copies behind."""
    per_pixel = getattr(torch, precision).itemsize + (0 if compiled else 8)
    return max(1, BYTES.get(device_of(model).type, BYTES["other"]) // (images.shape[1:].numel() * per_pixel))


def _scorer(
    model: VAE, precision: str, compiled: bool
) -> Callable[[Tensor, tuple[Tensor, ...], Tensor | None], Tensor]:
    """log p(x | z) [T, K, B] of z [K, B, D] and T tensors x: autocast ends before the likelihood scores."""
    kind, low = device_of(model).type, precision == "bfloat16"

    def score(z: Tensor, targets: tuple[Tensor, ...], y: Tensor | None) -> Tensor:
        with torch.autocast(kind, torch.bfloat16, enabled=low):
            p_x = model.p_x(z, y)
        return torch.stack([p_x.log_prob(x) for x in targets])

    return torch.compile(score, dynamic=False) if compiled else score


def _bounds(
    model: VAE,
    p: Distribution,
    score: Callable,
    targets: tuple[Tensor, ...],
    y: Tensor | None,
    samples: int,
    rows: int,
) -> tuple[dict[str, Tensor], Tensor]:
    """Columns [B] by name, and L_s [len(ladder), B], in float64 on the CPU; x is encoded once, z decoded in pieces.

    `targets` are the images x, and of a density of levels the dequantised ones, scored under the same draws.
    """
    x = targets[0]
    q, p = model.q_z(x, y), condition(p, y)
    z, log_qz, log_pz, kl, of_levels = rsample_scored(q, p, samples)
    pieces = z.chunk(math.ceil(samples * len(x) / rows))  # of like size, so few are compiled
    scores = torch.cat([score(piece, targets, y).cpu() for piece in pieces], 1).double()
    log_px = scores[0]
    terms = Terms(log_px, log_pz.cpu().double(), log_qz.cpu().double(), kl, z, of_levels)
    log_px_mean, log_w, rate = log_px.mean(0), terms.log_w, terms.rate.cpu().double()
    levels = torch.stack([level(log_w, size) for size in ladder(samples)])
    iwae, total = levels[-1], log_w.logsumexp(0)
    nats_per_dim = -log_mean_exp(log_w + scores[-1] - log_px) / x[0].numel()
    columns = {
        "elbo": log_px_mean - rate,
        "log_px": log_px_mean,
        "kl": rate,
        "iwae": iwae,
        "iwae_gain": iwae - level(log_w, max(1, samples // 2)),
        "bits_per_dim": nats_per_dim / math.log(2),
        "ess": (2 * total - (2 * log_w).logsumexp(0)).exp(),
    } | {name: kl.cpu().double() for name, kl in terms.by_level.items()}
    return columns, levels


def _doubts(values: dict[str, float], samples: int) -> list[str]:
    """What keeps the bound from being the likelihood; of one draw it is the ELBO and pretends nothing."""
    found = []
    if samples > 1 and values["iwae_gain"] > values.get("iwae_error", math.inf):
        found.append(
            f"the last doubling raised it by {values['iwae_gain']:.2f} nats, more than its standard error over images, "
            f"{values['iwae_error']:.2f}"
        )
    if values["ess"] < min(FEW, samples / 2):
        found.append(f"{values['ess']:.1f} of the {samples} draws carry the mean")
    advice = "take it as a lower bound, or raise samples"
    return [f"iwae has not converged: {' and '.join(found)}; {advice}"] if found else []
