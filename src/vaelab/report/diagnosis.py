"""What a run's log and numbers say in plain words: each finding with its evidence and what to try."""

from dataclasses import replace

from vaelab.io.formatting import counted, typeset
from vaelab.report.course import diverged, failed, overfitting, too_short, under_trained
from vaelab.report.finding import LEVELS, Finding, last
from vaelab.report.learned import collapsed, over_regularised, scale_ran_away, unlike_prior, worse_than_uniform
from vaelab.report.trends import FEW
from vaelab.runs.folder import RunFolder

RULES = (
    *(diverged, failed, collapsed, scale_ran_away, worse_than_uniform, unlike_prior),
    *(over_regularised, overfitting, under_trained, too_short),
)


def diagnose(run: RunFolder) -> list[Finding]:
    """All findings, the gravest first; where none is grave, also that nothing, or nothing else, is conspicuous.

    A growing run is judged by its last stage, since losses at different resolutions do not compare.
    """
    run = replace(run, log=run.log.last_stage)
    found = [finding for rule in RULES if (finding := rule(run)) is not None]
    if not any(f.level in ("warning", "bad") for f in found) and run.log.valid:
        found.append(_inconspicuous(run, bool(found)))
    return sorted(found, key=lambda f: -list(LEVELS).index(f.level))


def _inconspicuous(run: RunFolder, noted: bool) -> Finding:
    epochs, running = len(run.log.valid), run.state.word == "running"
    told = f"Validation loss {typeset(last(run, 'loss'))}, KL {typeset(last(run, 'kl'))} nats per image"
    told += f" after {counted(epochs, 'epoch')}"
    so_far = " so far" if running else ""
    if noted:
        return Finding("nothing", "note", f"Otherwise nothing conspicuous{so_far}.", f"{told}.")
    none = "no sign of collapse, over-regularisation, overfitting or numbers that are none"
    none = none if running or epochs < 2 * FEW else none.replace(" or ", ", ") + " or a loss still falling"
    return Finding("nothing", "good", f"Nothing conspicuous{so_far}.", f"{told}; {none}.")
