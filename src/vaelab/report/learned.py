"""Rules on what a model has learned: whether codes are used, the prior is met, and images are likelier than noise."""

import math

from vaelab.io.formatting import counted, typeset
from vaelab.metrics.active_units import NATS
from vaelab.metrics.aggregate import LEVEL
from vaelab.report.finding import Finding, beta, is_early, last, longer
from vaelab.report.pixels import Pixels, learned_scale, scale_of
from vaelab.report.trends import rises
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import finite, numbers

COLLAPSED = 0.5  # nats of KL per image below which a code says next to nothing
LARGE_LR = 0.01  # learning rate at which Adam's steps kill units for good
NO_IMAGE = 0.5  # no grey image on [0, 1] scatters more
APART = 0.2  # share of the draws by which posterior and prior differ in a dimension, from which samples suffer


def collapsed(run: RunFolder) -> Finding | None:
    """The posterior has become the prior: everywhere, or in most dimensions."""
    kl, active, of = last(run, "kl"), run.values.get("active_units_kl"), run.values.get("latent_dim")
    nats, lr = threshold(run), run.recipe.number("train", "lr") or 0.0
    remedy = f"a smaller train.lr than {lr:g}, " if lr >= LARGE_LR else ""
    remedy += "a lower β, a longer warm-up (objective.beta: linear), objective.free_bits, or a weaker decoder"
    counts = "" if active is None else f"{active} of {of} dimensions carry {nats:g} nats or more"
    parts = [f"KL {typeset(kl)} nats per validation image" if kl is not None else "", counts]
    told = f"{'; '.join(part for part in parts if part)}."
    # Early in a warm-up, or under a capacity, a small KL is no collapse.
    weighted = beta(run) != 0 or run.recipe.objective != "elbo"
    small, rising, early = kl is not None and kl < COLLAPSED and weighted, rises(run.log.valid), is_early(run)
    if not early and (active == 0 or (small and not rising)):
        sentence = "Posterior collapse: codes say nothing about their images, and the decoder does without them."
        return Finding("collapse", "bad", sentence, told, remedy, "" if active is None else "active_units")
    if small and rising:
        sentence = "The KL is still small, and rising: too early to tell a slow beginning from a collapse."
        return Finding("small kl", "note", sentence, told, longer(run))
    if early or active is None or not of or active >= of / 2:
        return None
    sentence = f"Most of the latent space is unused: {of - active} of {of} dimensions have collapsed onto the prior."
    evidence = f"{counts}; KL {typeset(kl)} nats per image in all."
    return Finding("partial collapse", "note", sentence, evidence, f"fewer latent dimensions, or {remedy}")


def over_regularised(run: RunFolder) -> Finding | None:
    """A KL weighted above 1 that is small beside what reconstructions lose for it."""
    kl, reconstruction, weight = last(run, "kl"), last(run, "reconstruction"), beta(run)
    if weight is None or weight <= 1 or kl is None or reconstruction is None or kl < COLLAPSED:
        return None
    lost = reconstruction - min(numbers(run.log.valid, "reconstruction"))
    if kl > 0.1 * abs(reconstruction) and lost < kl:
        return None
    beside = f"; reconstructions were {typeset(lost)} nats better before" if lost >= kl else ""
    return Finding(
        "over-regularised",
        "warning" if lost >= kl else "note",
        f"Over-regularised: with β = {weight:.3g} the KL term wins, codes are short and reconstructions pay for it.",
        f"KL {typeset(kl)} nats beside a reconstruction term of {typeset(reconstruction)} nats per image{beside}.",
        "a β nearer 1 where reconstructions or likelihood matter; keep it where disentangled codes are the aim",
    )


def scale_ran_away(run: RunFolder) -> Finding | None:
    """A learned σ below a step of grey, where a density grows without limit, or so wide that it explains nothing."""
    if (scale := learned_scale(run)) is None:
        return None
    told, of_images = f"The learned scale is {scale:.2g} on the [0, 1] scale of images", scale_of(run)
    step = 1 / of_images.levels if of_images.levels else 0.0
    if scale < step or not math.isfinite(scale):
        return Finding(
            "scale",
            "warning",
            "The learned σ runs away towards 0: the density rewards pixels that it copies to beyond their precision.",
            f"{told}, a step of grey is {step:.2g}." if step else f"{told}.",
            f"a fixed model.likelihood.sigma{', or the likelihood logistic, which counts grey levels' * bool(step)}",
        )
    if scale > NO_IMAGE and of_images.bounded:
        return Finding(
            "scale",
            "bad",
            "The learned σ ran away upwards: it explains every pixel as noise.",
            f"{told}, and no image scatters more than {NO_IMAGE}.",
            "a smaller first sigma, fit: optimal, a warm-up of β, or a smaller train.lr",
        )
    return None


def unlike_prior(run: RunFolder) -> Finding | None:
    """The aggregated posterior differs from the prior, in a dimension or jointly, by the tests of `aggregate`."""
    protocol = run.protocol("aggregate")
    ks, p, limit = finite(run.values, "aggregate_ks"), finite(run.values, "aggregate_p"), finite(protocol, "ks_limit")
    if ks is None or p is None or (p > LEVEL and ks <= (limit or math.inf)):
        return None
    of = counted(int(protocol["images"]), "image") if finite(protocol, "images") else "the images"
    far = ks >= APART
    is_fixed = run.recipe.part("prior").kind == "normal"
    learned = ", or a learned prior (model.prior=vamp)" if is_fixed else ""
    return Finding(
        "unlike prior",
        "warning" if far and not is_early(run) else "note",
        f"The aggregated posterior is not the prior: samples {'' if far else 'may '}start where no image was encoded.",
        f"Largest KS distance of a dimension {ks:.2f}, p = {p:.2g} of all together, over the codes of {of}.",
        f"the sampler gmm, which draws from where codes lie{learned}",
        "aggregate",
    )


def worse_than_uniform(run: RunFolder) -> Finding | None:
    """An image is less likely than if each value of each pixel were as likely as any other."""
    pixels, values = Pixels.of(run), run.values
    losses = [-x for k in ("iwae", "elbo") if (x := finite(values, k)) is not None] or numbers(run.log.valid, "loss")
    if pixels is None or not losses or (bits := pixels.bits(min(losses))) <= pixels.uniform:
        return None
    told = f"{bits:.2f} bits per dimension, where uniform pixels have {pixels.uniform:g}"
    if pixels.least is not None and (least := pixels.bits(pixels.least * pixels.size)) > pixels.uniform:
        return Finding(
            "uniform",
            "note",
            "As a density the model is worse than uniform pixels: the scale of its likelihood is fixed too wide.",
            f"{told}, and this scale {least:.2f} at best.",
            "a scale that is learned, where likelihoods matter; reconstructions and samples may be good all the same",
        )
    early, more = is_early(run), longer(run)
    scale = "a learned scale of the likelihood, " if pixels.is_density else ""
    return Finding(
        "uniform",
        "warning" if early else "bad",
        "The model is worse than uniform pixels: it finds real images less likely than noise.",
        f"{told}.",
        f"{scale}a smaller train.lr{f', then {more}' if early and more else ''}",
    )


def threshold(run: RunFolder) -> float:
    """Nats of KL from which a latent dimension counts as used."""
    return finite(run.protocol("active_units"), "nats") or NATS
