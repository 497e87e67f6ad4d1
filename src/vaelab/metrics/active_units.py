"""How many latent dimensions carry information."""

import torch
from torch import Tensor

from vaelab.data.source import Split
from vaelab.distributions.hierarchy import kl_of
from vaelab.distributions.latent import MOMENT_DRAWS, condition, has_moments, moments
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE, device_of
from vaelab.registry import Positive, register

CURE = "a lower beta, a longer warm-up (beta: linear) or free bits bring dimensions back"
DIMENSIONS, MEANING = "latent_dim", "dimensions in use"
NATS = 0.05  # KL from which a dimension counts as used
NAMED = 8  # dimensions that a sentence lists
ABOUT = About(
    "Active units",
    {
        "active_units": Value("Active units, by variance of the means", meaning=MEANING, rank=16, of=DIMENSIONS),
        "active_units_ratio": Value("Active units, by share of variance", of=DIMENSIONS),
        "active_units_kl": Value("Active units, by KL", "", None, MEANING, rank=5, of=DIMENSIONS, tile="Active units"),
        DIMENSIONS: Value("Latent dimensions"),
    },
    quick=True,
)


@register("metric", "active_units", ABOUT)
@torch.no_grad()
def active_units(
    model: VAE, split: Split, *, variance: Positive = 0.01, nats: Positive = NATS, ratio: Positive = 0.05
) -> Measurement:
    """Three counts over the latent dimensions, of the posterior means u and variances σ² of the images.

    - `active_units`: Var_x(u) > `variance` (Burda et al. 2016), which depends on the latent's scale;
    - `active_units_kl`: mean KL per dimension > `nats`, where the KL has a closed form; the curve `kl_per_dimension`;
    - `active_units_ratio`: Var_x(u) / (Var_x(u) + E σ²) > `ratio`, the share of the latent's variance that x explains.

    The notes say in words whether the posterior has collapsed. Raises NotApplicable for fewer than two images.
    """
    if len(split) < 2:
        raise NotApplicable("active_units needs the variance of the means over images; give two images or more")
    with seeded(0, device_of(model)):  # of draws, where a posterior has no moments in closed form
        spread, noise, kl = _moments(model, split)
    by_variance, by_ratio = spread > variance, spread / (spread + noise) > ratio
    by_kl = by_ratio if kl is None else kl > nats
    counts = {"active_units": by_variance, "active_units_ratio": by_ratio}
    counts |= {} if kl is None else {"active_units_kl": by_kl}
    why = f"share of variance below {ratio:g}" if kl is None else f"KL below {nats:g} nats"
    return Measurement(
        {name: active.sum().item() for name, active in counts.items()} | {DIMENSIONS: len(spread)},
        protocol={"images": len(split)},
        curves={} if kl is None else {"kl_per_dimension": [(float(d), v) for d, v in enumerate(kl.tolist(), 1)]},
        notes=[_report(by_kl, why), *_mismatch(by_variance, by_kl, variance)],
    )


def _moments(model: VAE, split: Split) -> tuple[Tensor, Tensor, Tensor | None]:
    """Var_x(u), E σ² and the mean KL per dimension [D] over all images, in float64; the KL where it has a form."""
    means, variances, kls, p, drawn = [], [], [], model.p_z(), False
    for x, y in batches(model, split):
        q = model.q_z(x, y)
        drawn = not has_moments(q)
        mean, variance = moments(q)
        means.append(mean.cpu().double())
        variances.append(variance.cpu().double())
        kls.append(kl_of(q, condition(p, y), q.sample((MOMENT_DRAWS,)) if drawn else mean)[0])
    kl = None if kls[0] is None else torch.cat(kls).cpu().double().mean(0)
    spread, noise = torch.cat(means).var(0), torch.cat(variances).mean(0)
    if drawn:
        spread = spread - noise / MOMENT_DRAWS  # by which means of draws vary even where none differs
    return spread, noise, kl


def _report(active: Tensor, why: str) -> str:
    """One sentence on collapse, and what helps."""
    total, alive = len(active), int(active.sum())
    if alive == total:
        return f"all {total} dimensions carry information: no collapse"
    if alive == 0:
        return f"total collapse: none of {total} dimensions carries information ({why}), z is ignored; {CURE}"
    return (
        f"{alive} of {total} dimensions carry information; the posterior has collapsed onto the prior in "
        f"{total - alive} ({why}): {_listed(~active)}; {CURE}"
    )


def _mismatch(by_variance: Tensor, scale_free: Tensor, variance: float) -> list[str]:
    """Where Burda's count and a scale-free one disagree, the latent has another scale than N(0, I)."""
    cases = {
        f"means that vary by less than {variance:g} carry information": scale_free & ~by_variance,
        "means vary, but carry no information": by_variance & ~scale_free,
    }
    found = [f"{what} in {_listed(which)}" for what, which in cases.items() if which.any()]
    sentence = f"Burda's count depends on the latent's scale, so trust the scale-free ones: {'; '.join(found)}"
    return [sentence] if found else []


def _listed(which: Tensor) -> str:
    """The first few dimensions by name, as in figures."""
    numbers = [f"z{d + 1}" for d in which.nonzero().flatten().tolist()]
    return ", ".join(numbers[:NAMED]) + (", …" if len(numbers) > NAMED else "")
