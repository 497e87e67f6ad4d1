"""What a run's log and numbers say in plain words: each finding with its evidence and what to try."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vaelab.folder import finite, kind_of
from vaelab.report.trends import FEW, clear, is_whole, last_gain, numbers, rises, slope_of
from vaelab.training.log import Row
from vaelab.wording import counted, typeset

LEVELS = ("good", "note", "warning", "bad")  # from least to gravest
COLLAPSED = 0.5  # nats of KL per image below which a code says next to nothing
SIGMAS = 4  # standard errors by which a slope stands out of its noise
STEP_OF_GREY = 1 / 256  # of 8-bit images on [0, 1]
NO_IMAGE = 0.5  # no grey image on [0, 1] scatters more

CUT = ("stopped", "killed")  # states of a run that --resume carries on
QUANTITIES = {"kl": "KL", "reconstruction": "reconstruction term", "grad_norm": "gradient's norm"}


class Finding(NamedTuple):
    """One thing that a reader should know."""

    kind: str
    level: str  # one of LEVELS
    sentence: str
    evidence: str
    remedy: str = ""


@dataclass(frozen=True)
class Evidence:
    """What a diagnosis is made from: rows of the log (of the last stage where it grew), numbers, recipe, σ, end."""

    train: Sequence[Row]  # epochs, as trained
    valid: Sequence[Row]  # epochs, at β = 1
    steps: Sequence[Row] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    scale: float | None = None  # a learned σ or b of the likelihood, on the [0, 1] scale
    reason: str = ""  # why the run ended, where it failed
    state: str = "done"  # as in State
    diverged: tuple[str, int] | None = None  # likewise
    earlier: Sequence[Row] = ()  # of earlier stages

    @property
    def beta(self) -> float | None:
        """The weight of the KL that was applied last."""
        rows = self.train or self.steps
        return finite(rows[-1], "beta") if rows else None

    def last(self, key: str) -> float | None:
        """Of the last epoch's validation images."""
        return finite(self.valid[-1], key) if self.valid else None


def diagnose(evidence: Evidence) -> list[Finding]:
    """All findings, the gravest first; one that says so where nothing is conspicuous."""
    rules = (diverged, failed, collapsed, scale_ran_away, over_regularised, overfitting, under_trained, too_short)
    found = [finding for rule in rules if (finding := rule(evidence)) is not None]
    if not any(f.level in ("warning", "bad") for f in found) and evidence.valid:
        found.append(_inconspicuous(evidence, bool(found)))
    return sorted(found, key=lambda f: -LEVELS.index(f.level))


def diverged(e: Evidence) -> Finding | None:
    """NaN or infinity in the log or at the end, or a reconstruction that leapt back above where it began, if known."""
    remedy = "a smaller train.lr, train.clip_norm=1, a longer warm-up of β, or train.precision=float32"
    if e.diverged:
        term, step = e.diverged
        known = numbers(e.steps or e.train, "loss")
        before = f"the last loss in the log is {typeset(known[-1])}" if known else "nothing was logged before"
        sentence = f"The training diverged: its {QUANTITIES.get(term, term)} is no longer a finite number."
        return Finding("nan", "bad", sentence, f"Found at step {step:,}; {before}.", remedy)
    for row in (*e.earlier, *e.steps, *e.train, *e.valid):
        if broken := [k for k in ("loss", "reconstruction", "kl", "grad_norm") if k in row and finite(row, k) is None]:
            at = f"step {row['step']:,}: {', '.join(broken)} {'is' if len(broken) == 1 else 'are'} no finite number."
            level = "warning" if broken == ["grad_norm"] else "bad"
            return Finding("nan", level, "The training met numbers that are none, and went on.", f"In {at}", remedy)
    losses = numbers(e.steps, "reconstruction")
    began = losses[0] + 0.1 * abs(losses[0]) if losses else 0.0
    if len(losses) >= 20 and is_whole(e.steps) and (peak := max(losses[len(losses) // 5 :])) > began:
        row = next(row for row in reversed(e.steps) if row.get("reconstruction") == peak)
        back = f"was back at {typeset(peak)} in step {row['step']:,}."
        told = f"Reconstruction began at {typeset(losses[0])} nats and {back}"
        return Finding("nan", "warning", "The training all but blew up once.", told, remedy)
    return None


def failed(e: Evidence) -> Finding | None:
    """A training that ended with an error of another kind."""
    told = e.reason and not e.diverged
    return Finding("failed", "bad", "The training ended with an error.", f"{e.reason}.") if told else None


def collapsed(e: Evidence) -> Finding | None:
    """The posterior has become the prior: everywhere, or in most dimensions."""
    kl, active, of = e.last("kl"), e.values.get("active_units_kl"), e.values.get("latent_dim")
    remedy = "a lower β, a longer warm-up (objective.beta: linear), objective.free_bits, or a weaker decoder"
    counts = "" if active is None else f"{active} of {of} dimensions carry 0.05 nats or more"
    parts = [f"KL {typeset(kl)} nats per validation image" if kl is not None else "", counts]
    told = f"{'; '.join(part for part in parts if part)}."
    small, rising, early = kl is not None and kl < COLLAPSED and _settled(e), rises(e.valid), _is_early(e)
    if not early and (active == 0 or (small and not rising)):
        sentence = "Posterior collapse: codes say nothing about their images, and the decoder does without them."
        return Finding("collapse", "bad", sentence, told, remedy)
    if small and rising:
        sentence = "The KL is still small, and rising: too early to tell a slow beginning from a collapse."
        return Finding("small kl", "note", sentence, told, _longer(e))
    if early or active is None or not of or active >= of / 2:
        return None
    sentence = f"Most of the latent space is unused: {of - active} of {of} dimensions have collapsed onto the prior."
    evidence = f"{counts}; KL {typeset(kl)} nats per image in all."
    return Finding("partial collapse", "note", sentence, evidence, f"fewer latent dimensions, or {remedy}")


def over_regularised(e: Evidence) -> Finding | None:
    """A KL weighted above 1 that is small beside what reconstructions lose for it."""
    kl, reconstruction = e.last("kl"), e.last("reconstruction")
    if e.beta is None or e.beta <= 1 or kl is None or reconstruction is None or kl < COLLAPSED:
        return None
    lost = reconstruction - min(numbers(e.valid, "reconstruction"))
    if kl > 0.1 * abs(reconstruction) and lost < kl:
        return None
    beside = f"; reconstructions were {typeset(lost)} nats better before" if lost >= kl else ""
    return Finding(
        "over-regularised",
        "warning" if lost >= kl else "note",
        f"Over-regularised: with β = {e.beta:.3g} the KL term wins, codes are short and reconstructions pay for it.",
        f"KL {typeset(kl)} nats beside a reconstruction term of {typeset(reconstruction)} nats per image{beside}.",
        "a β nearer 1 where reconstructions or likelihood matter; keep it where disentangled codes are the aim",
    )


def under_trained(e: Evidence) -> Finding | None:
    """The validation loss still falls at the end, by a slope that stands out of its noise; a run that goes on may."""
    if e.state == "running" or (found := slope_of(e.valid)) is None:
        return None
    slope, error, window = found
    losses = numbers(e.valid, "loss")
    gain = -slope * len(losses) / 10  # of a tenth more epochs
    falling = slope < -SIGMAS * error and int(np.argmin(losses)) >= len(losses) - window / 2
    if not falling or gain < clear(losses[-1]):
        return None
    over = f"the last {window} of {counted(len(losses), 'epoch')}"
    told = f"Slope {typeset(slope)} ± {error:.1g} nats per epoch over {over}; the last value is {typeset(losses[-1])}."
    if e.state in CUT:
        sentence = f"The validation loss was still falling when the training was {e.state}."
        return Finding("under-trained", "note", sentence, told, _longer(e))
    sentence = "Under-trained: the validation loss was still falling at the end."
    return Finding("under-trained", "warning", sentence, told, _longer(e))


def overfitting(e: Evidence) -> Finding | None:
    """The validation loss has risen since its best epoch while the training loss, at β = 1, went on falling."""
    valid = numbers(e.valid, "loss")
    train = [x for row in e.train if (x := _bound(row)) is not None]
    if not len(valid) == len(train) == len(e.valid) == len(e.train) or len(valid) < FEW + 2:
        return None
    best = int(np.argmin(valid))
    rise, fall = valid[-1] - valid[best], train[best] - train[-1]
    if len(valid) - 1 - best < FEW or rise < max(0.5, 0.003 * abs(valid[best])) or fall <= 0:
        return None
    return Finding(
        "overfitting",
        "warning",
        "Overfitting: training images still gained while held-out ones lost.",
        f"Since epoch {e.valid[best]['epoch']:g} the validation loss rose by {typeset(rise)} nats and the training "
        f"loss fell by {typeset(fall)}. The weights that were kept are those of the best epoch.",
        "train.patience to stop there, more data or data.flip, a smaller network, train.weight_decay",
    )


def scale_ran_away(e: Evidence) -> Finding | None:
    """A learned σ below a step of grey, where a density grows without limit, or so wide that it explains nothing."""
    if e.scale is None:
        return None
    told = f"The learned scale is {e.scale:.2g} on the [0, 1] scale of images"
    if e.scale < STEP_OF_GREY or not math.isfinite(e.scale):
        return Finding(
            "scale",
            "warning",
            "The learned σ runs away towards 0: the density rewards pixels that it copies to beyond their precision.",
            f"{told}, a step of 8-bit grey is {STEP_OF_GREY:.2g}.",
            "a fixed model.likelihood.sigma, or the likelihood logistic, which counts grey levels",
        )
    if e.scale > NO_IMAGE:
        return Finding(
            "scale",
            "bad",
            "The learned σ ran away upwards: it explains every pixel as noise.",
            f"{told}, and no image scatters more than {NO_IMAGE}.",
            "a smaller first sigma, fit: optimal, a warm-up of β, or a smaller train.lr",
        )
    return None


def too_short(e: Evidence) -> Finding | None:
    """Too few epochs to speak of a trend, or few of which the last still gained; and no failure that says more."""
    if not _is_early(e) or e.reason or under_trained(e):
        return None
    n, gain = len(e.valid), last_gain(e.valid)
    told = f"{counted(n, 'epoch')} finished" if n else f"No epoch was finished; {counted(len(e.steps), 'row')} logged"
    told += f", and the last still gained {typeset(gain)} nats." if gain else "."
    if e.state == "running":
        return Finding("short", "note", "Too early to judge how it goes on.", told)
    return Finding("short", "note", "Too short to judge how it would have gone on.", told, _longer(e))


def _inconspicuous(e: Evidence, noted: bool) -> Finding:
    told = f"Validation loss {typeset(e.last('loss'))}, KL {typeset(e.last('kl'))} nats per image"
    told += f" after {counted(len(e.valid), 'epoch')}"
    so_far = " so far" if e.state == "running" else ""
    if noted:
        return Finding("nothing", "good", f"Otherwise nothing conspicuous{so_far}.", f"{told}.")
    none = "no sign of collapse, over-regularisation, overfitting or numbers that are none"
    none = none if so_far or len(e.valid) < 2 * FEW else none.replace(" or ", ", ") + " or a loss still falling"
    return Finding("nothing", "good", f"Nothing conspicuous{so_far}.", f"{told}; {none}.")


def _is_early(e: Evidence) -> bool:
    """Whether the epochs are too few for a trend, or few of which the last still gained; without rows none can tell."""
    unknown = not (e.valid or e.train or e.steps) and e.state not in ("running", *CUT)
    return not unknown and (len(e.valid) < FEW or last_gain(e.valid) > 0)


def _longer(e: Evidence) -> str:
    """How to train on; nothing for a run that does."""
    if e.state == "running":
        return ""
    return "--resume, which carries on to the recipe's end" if e.state in CUT else "more train.epochs"


def _settled(e: Evidence) -> bool:
    """Whether the KL counts by now; early in a warm-up, or under a capacity, a small one is no collapse."""
    objective = e.options.get("objective", {})
    return e.beta is None or e.beta > 0 or kind_of(objective) != "elbo"


def _bound(row: Row) -> float | None:
    """−ELBO of a row of training, whatever β was."""
    reconstruction, kl = finite(row, "reconstruction"), finite(row, "kl")
    return None if reconstruction is None or kl is None else reconstruction + kl
