"""Rules on the course of a training: that it broke, blew up, was too short, or went on past its best."""

import numpy as np

from vaelab.io.formatting import counted, typeset
from vaelab.report.finding import CUT, MIN_STEPS, Finding, is_early, longer, steps_taken
from vaelab.report.trends import FEW, clear, is_whole, last_gain, slope_of
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Row, finite, numbers

LITTLE = 0.005  # share of the loss that a tenth more epochs would gain, below which a run is not called under-trained
SIGMAS = 4  # standard errors by which a slope stands out of its noise
QUANTITIES = {"kl": "KL", "reconstruction": "reconstruction term", "grad_norm": "gradient's norm"}


def diverged(run: RunFolder) -> Finding | None:
    """NaN or infinity in the log or at the end, or a reconstruction that leapt back above where it began, if known."""
    remedy = "a smaller train.lr, train.clip_norm=1, a longer warm-up of β, or train.precision=float32"
    log = run.log
    if run.state.diverged:
        term, step = run.state.diverged
        known = numbers(log.steps or log.train, "loss")
        before = f"the last loss in the log is {typeset(known[-1])}" if known else "nothing was logged before"
        sentence = f"The training diverged: its {QUANTITIES.get(term, term)} is no longer a finite number."
        return Finding("nan", "bad", sentence, f"Found at step {step:,}; {before}.", remedy)
    for row in (*log.earlier, *log.steps, *log.train, *log.valid):
        if broken := [k for k in ("loss", "reconstruction", "kl", "grad_norm") if k in row and finite(row, k) is None]:
            at = f"step {row['step']:,}: {', '.join(broken)} {'is' if len(broken) == 1 else 'are'} no finite number."
            level = "warning" if broken == ["grad_norm"] else "bad"
            return Finding("nan", level, "The training met numbers that are none, and went on.", f"In {at}", remedy)
    losses = numbers(log.steps, "reconstruction")
    began = losses[0] + 0.1 * abs(losses[0]) if losses else 0.0
    if len(losses) >= 20 and is_whole(log.steps) and (peak := max(losses[len(losses) // 5 :])) > began:
        row = next(row for row in reversed(log.steps) if row.get("reconstruction") == peak)
        back = f"was back at {typeset(peak)} in step {row['step']:,}."
        told = f"Reconstruction began at {typeset(losses[0])} nats and {back}"
        return Finding("nan", "warning", "The training all but blew up once.", told, remedy)
    return None


def failed(run: RunFolder) -> Finding | None:
    """A training that ended with an error of another kind."""
    if run.state.word != "failed" or not run.state.reason or run.state.diverged:
        return None
    return Finding("failed", "bad", "The training ended with an error.", f"{run.state.reason}.")


def under_trained(run: RunFolder) -> Finding | None:
    """The validation loss still falls at the end, by a slope that stands out of its noise; a run that goes on may."""
    if run.state.word == "running" or (found := slope_of(run.log.valid)) is None:
        return None
    slope, error, window = found
    losses = numbers(run.log.valid, "loss")
    gain = -slope * len(losses) / 10  # of a tenth more epochs
    falling = slope < -SIGMAS * error and int(np.argmin(losses)) >= len(losses) - window / 2
    if not falling or gain < clear(losses[-1]):
        return None
    over = f"the last {window} of {counted(len(losses), 'epoch')}"
    sure = f"{typeset(slope)} ± {float(f'{error:.1g}'):g}"
    told = f"Slope {sure} nats per epoch over {over}; the last value is {typeset(losses[-1])}."
    if run.state.word in CUT:
        sentence = f"The validation loss was still falling when the training was {run.state.word}."
        return Finding("under-trained", "note", sentence, told, longer(run))
    if gain < LITTLE * abs(losses[-1]):
        return Finding("under-trained", "note", "The validation loss was still falling a little.", told, longer(run))
    sentence = "Under-trained: the validation loss was still falling at the end."
    return Finding("under-trained", "warning", sentence, told, longer(run))


def overfitting(run: RunFolder) -> Finding | None:
    """The validation loss has risen since its best epoch while the training loss, at β = 1, went on falling."""
    valid = numbers(run.log.valid, "loss")
    train = [x for row in run.log.train if (x := _bound(row)) is not None]
    if not len(valid) == len(train) == len(run.log.valid) == len(run.log.train) or len(valid) < FEW + 2:
        return None
    best = int(np.argmin(valid))
    epoch = run.log.valid[best]["epoch"]
    rise, fall = valid[-1] - valid[best], train[best] - train[-1]
    if len(valid) - 1 - best < FEW or rise < max(0.5, 0.003 * abs(valid[best])) or fall <= 0:
        return None
    return Finding(
        "overfitting",
        "warning",
        "Overfitting: training images still gained while held-out ones lost.",
        f"Since epoch {epoch:g} the validation loss rose by {typeset(rise)} nats and the training "
        f"loss fell by {typeset(fall)}. The weights that were kept are those of the best epoch.",
        "train.patience to stop there, more data or data.flip, a smaller network, train.weight_decay",
    )


def too_short(run: RunFolder) -> Finding | None:
    """Too few steps or epochs to speak of a trend, or few of which the last still gained; no failure says more."""
    if not is_early(run) or run.state.word == "failed" or under_trained(run):
        return None
    log, taken = run.log, steps_taken(run.log)
    n, gain = len(log.valid), last_gain(log.valid)
    told = f"{counted(n, 'epoch')} finished" if n else f"No epoch was finished; {counted(len(log.steps), 'row')} logged"
    told += f", {counted(taken, 'step')} in all" if n and taken < MIN_STEPS else ""
    told += f", and the last still gained {typeset(gain)} nats." if gain else "."
    if run.state.word == "running":
        return Finding("short", "note", "Too early to judge how it goes on.", told)
    return Finding("short", "note", "Too short to judge it, or how it would have gone on.", told, longer(run))


def _bound(row: Row) -> float | None:
    """−ELBO of a row of training, whatever β was."""
    reconstruction, kl = finite(row, "reconstruction"), finite(row, "kl")
    return None if reconstruction is None or kl is None else reconstruction + kl
